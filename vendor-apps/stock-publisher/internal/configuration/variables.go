package configuration

import (
	"fmt"
	"strings"
)

// Variable documents one environment variable.
type Variable struct {
	Name    string
	Default string // empty: none
	Meaning string
}

// Variables lists every variable in the order of the documentation.
var Variables = []Variable{
	{"RABBITMQ_URL", "amqp://stockmarket:supersecret123@localhost:5672/", "the broker's AMQP URL (amqp or amqps), with RabbitMQ's query parameters"},
	{"RABBITMQ_URL_FILE", "", "a file that contains the URL, instead of RABBITMQ_URL"},
	{"STOCKS", "MSFT,TSLA,AAPL", "the companies' symbols, separated by commas or line ends; each company has a queue named after its symbol"},
	{"TICKER_INTERVAL", "1", "milliseconds between two trades of one company; 0: as fast as the broker confirms"},
	{"TICKER_INTERVALS", "", "the same for each company, in the order of STOCKS, or one for all; fractions such as 0.5 are allowed; empty: TICKER_INTERVAL"},
	{"PRICE_MODEL", "uniform", "uniform: independent prices from 50 to 550; walk: prices that move as shares do"},
	{"START_PRICES", "", "walk: the price that each company's prices move around, in the order of STOCKS, or one for all; empty: drawn from 50 to 550"},
	{"VOLATILITIES", "", "walk: each company's volatility in percent a year, in the order of STOCKS, or one for all; empty: 100"},
	{"QUEUE_TYPE", "quorum", "quorum or classic; both durable, with a single active consumer"},
	{"SEED", "", "a number; uniform: the same seed generates the same trades, unset: a random one; walk: the same seed has the same prices at the same time, unset: 0"},
	{"TRADES", "0", "end, with exit code 0, when this many trades of each company are confirmed; 0: never"},
	{"HTTP_ADDRESS", "127.0.0.1:9100", "where /metrics, /healthz, /readyz and /startedz are served"},
	{"LOG_LEVEL", "info", "debug, info, warn or error"},
	{"LOG_FORMAT", "", "text or json; unset: text on a terminal, else json"},
}

func defaultOf(name string) string {
	for _, variable := range Variables {
		if variable.Name == name {
			return variable.Default
		}
	}
	return ""
}

// Help returns Variables as plain text, for --help.
func Help() string {
	var help strings.Builder
	for _, variable := range Variables {
		fmt.Fprintf(&help, "  %-18s %s", variable.Name, variable.Meaning)
		if variable.Default != "" {
			fmt.Fprintf(&help, "\n  %-18s (default %s)", "", variable.Default)
		}
		help.WriteByte('\n')
	}
	return help.String()
}
