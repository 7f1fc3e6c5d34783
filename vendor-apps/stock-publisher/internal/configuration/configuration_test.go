package configuration

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

func TestAnEmptyEnvironmentGivesTheDefaultsOfTheContract(t *testing.T) {
	got, err := Load(environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := Configuration{
		Broker:      BrokerURL{"amqp://stockmarket:supersecret123@localhost:5672/"},
		Companies:   []string{"MSFT", "TSLA", "AAPL"},
		Interval:    time.Millisecond,
		Intervals:   []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond},
		PriceModel:  "uniform",
		StartPrices: []float64{0, 0, 0}, Volatilities: []float64{0, 0, 0},
		QueueType:   "quorum",
		HTTPAddress: "127.0.0.1:9100",
		LogLevel:    slog.LevelInfo,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestEveryVariableIsTaken(t *testing.T) {
	got, err := Load(environment(map[string]string{
		"RABBITMQ_URL": "amqps://user:pass%2Fword@broker:5671/vhost", "STOCKS": " BRK.B , BF-B,3M,\n ^GSPC\r\nRDS/A \n\nES=F,msft\n",
		"TICKER_INTERVAL": "20", "TICKER_INTERVALS": "1,0,0.5,,3600000,\n,1e-2", "PRICE_MODEL": "walk", "QUEUE_TYPE": "classic", "SEED": "0",
		"START_PRICES": "430,, 0.00001 ,1e6,1e-9,1000000000,5", "VOLATILITIES": " 30.5 ",
		"TRADES": "5000", "HTTP_ADDRESS": ":8080", "LOG_LEVEL": "debug", "LOG_FORMAT": "json",
	}))
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(0)
	want := Configuration{
		Broker:    BrokerURL{"amqps://user:pass%2Fword@broker:5671/vhost"},
		Companies: []string{"BRK.B", "BF-B", "3M", "^GSPC", "RDS/A", "ES=F", "msft"}, PriceModel: "walk", QueueType: "classic",
		Interval: 20 * time.Millisecond,
		Intervals: []time.Duration{
			time.Millisecond, 0, 500 * time.Microsecond, 20 * time.Millisecond, time.Hour, 20 * time.Millisecond, 10 * time.Microsecond,
		},
		StartPrices:  []float64{430, 0, 0.00001, 1e6, 1e-9, 1e9, 5},
		Volatilities: []float64{30.5, 30.5, 30.5, 30.5, 30.5, 30.5, 30.5},
		Seed:         &seed, TradeLimit: 5000, HTTPAddress: ":8080", LogLevel: slog.LevelDebug, LogFormat: "json",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestEachBadValueIsNamedWithWhatWouldBeRight(t *testing.T) {
	for name, bad := range map[string]map[string]string{ // variable → value → what the problem says
		"RABBITMQ_URL": {
			"localhost:5672":             "amqp://user:password@host:5672/",
			"http://u:hush@h/":           "amqp://user:password@host:5672/",
			"amqp://u:hu%sh@h/":          "percent-encoded",
			"amqp://u:hush@h:port/":      "percent-encoded",
			"amqp://u:hush@h:99999/":     "amqp://user:password@host:5672/",
			"amqp://u:hush@h/?heartbeat": "heartbeat in its query is no whole number of seconds from 0 to 65535",

			"amqp://u:hush@h/?heartbeat=-1":                         "heartbeat=10",
			"amqp://u:hush@h/?heartbeat=70000":                      "heartbeat=10",
			"amqp://u:hush@h/?channel_max=many":                     "channel_max in its query",
			"amqp://u:hush@h/?connection_timeout=10s":               "connection_timeout in its query is no whole number of milliseconds from 1 to 3600000",
			"amqp://u:hush@h/?connection_timeout=0":                 "connection_timeout=10000",
			"amqp://u:hush@h/?connection_timeout=-5":                "connection_timeout=10000",
			"amqp://u:hush@h/?connection_timeout=3600001":           "connection_timeout=10000",
			"amqps://u:hush@h/v?heartbeat=5&connection_timeout=1e3": "connection_timeout=10000",
			"amqps://u:hush@h/?cacertfile=/no/such/file":            "cacertfile in its query cannot be read",
			"amqps://u:hush@h/?cacertfile=configuration.go":         "without certificates",
			"amqps://u:hush@h/?certfile=/x":                         "need each other",
			"amqps://u:hush@h/?keyfile=/x":                          "need each other",
			"amqps://u:hush@h/?certfile=/no/such&keyfile=/file":     "certfile and keyfile in its query cannot be used",
		},
		"RABBITMQ_URL_FILE": {"/no/such/file": "cannot be read"},
		"STOCKS": {
			"MSFT,":                             `"" is no symbol: it is empty`,
			"MSFT,TSLA,MSFT":                    "MSFT is listed twice",
			"MSFT\nTSLA\nMSFT":                  "MSFT is listed twice",
			"MSFT,,\nTSLA":                      `"" is no symbol: it is empty`,
			"MSFT,A B":                          `"A B" is no symbol: it has a character other than`,
			"amq.direct":                        `"amq.direct" is no symbol: the broker keeps`,
			"MSFT,MSFT.rejected":                `"MSFT.rejected" is no symbol: queues`,
			"ABCDEFGHIJKLMNOPQRSTUVWXYZ1234567": "is longer than 32",
		},
		"TICKER_INTERVAL": {"fast": "0 to 3600000", "-1": "0 to 3600000", "0.5": "0 to 3600000", "3600001": "0 to 3600000"},
		"TICKER_INTERVALS": {
			"1,2":       "it has 2 values, but STOCKS has 3 companies",
			"1,fast,":   `"fast" is no number of milliseconds from 0 to 3600000, such as 0.5`,
			"-0.1":      `"-0.1" is no number of milliseconds`,
			"3600000.1": "to 3600000",
			"NaN":       `"NaN" is no number`,
			"1ms":       `"1ms" is no number`,
		},
		"PRICE_MODEL": {"flat": "uniform, walk"},
		"START_PRICES": {
			"430,340":       "it has 2 values, but STOCKS has 3 companies; give one for all, or one for each",
			"430,340,230,5": "it has 4 values, but STOCKS has 3 companies",
			"430,,x":        `"x" is no price from 0.000000001 to 1000000000, such as 430.5`,
			"$430":          `"$430" is no price`,
			"430;340;230":   `"430;340;230" is no price`,
			"0":             `"0" is no price`,
			"-1,2,3":        `"-1" is no price`,
			"1e-10":         "from 0.000000001",
			"1000000000.01": "to 1000000000",
			"1e999":         "to 1000000000",
			"NaN":           `"NaN" is no price`,
			"Inf,1,1":       `"Inf" is no price`,
		},
		"VOLATILITIES": {
			"30,":       "it has 2 values, but STOCKS has 3 companies",
			"30%":       `"30%" is no percentage from 0.01 to 1000, such as 30`,
			"0":         `"0" is no percentage`,
			"30,-30,30": `"-30" is no percentage`,
			"1000.1":    "to 1000",
			"30,nan,30": `"nan" is no percentage`,
		},
		"QUEUE_TYPE":   {"stream": "quorum, classic"},
		"SEED":         {"x": "such as 42", "-1": "such as 42"},
		"TRADES":       {"many": "no whole number", "-1": "no whole number"},
		"HTTP_ADDRESS": {"9100": "host:port", "localhost:http": "host:port", "h:0": "host:port", "h:65536": "host:port"},
		"LOG_LEVEL":    {"loud": "debug, info, warn, error"},
		"LOG_FORMAT":   {"xml": "text, json"},
	} {
		for value, want := range bad {
			_, err := Load(environment(map[string]string{name: value}))
			var problems Problems
			if !errors.As(err, &problems) || len(problems) != 1 {
				t.Errorf("%s=%s: error is %v, want one problem", name, value, err)
				continue
			}
			if !strings.HasPrefix(problems[0], name+": ") || !strings.Contains(problems[0], want) {
				t.Errorf("%s=%s: problem is %q, want it to name the variable and %q", name, value, problems[0], want)
			}
			if strings.Contains(err.Error(), "hu") {
				t.Errorf("%s=%s: %v shows the password", name, value, err)
			}
		}
	}
}

func TestAllProblemsAreNamedAtOnce(t *testing.T) {
	_, err := Load(environment(map[string]string{
		"RABBITMQ_URL": "?", "RABBITMQ_URL_FILE": "/no/such/file", "STOCKS": "x x,MSFT,MSFT", "TICKER_INTERVAL": "?", "TICKER_INTERVALS": "?",
		"PRICE_MODEL": "?", "START_PRICES": "?,-1", "VOLATILITIES": "?", "QUEUE_TYPE": "?", "SEED": "?", "TRADES": "?", "HTTP_ADDRESS": "?", "LOG_LEVEL": "?", "LOG_FORMAT": "?",
	}))
	if err == nil {
		t.Fatal("a wrong configuration is accepted")
	}
	for _, variable := range Variables {
		if !strings.Contains(err.Error(), variable.Name) {
			t.Errorf("%s is missing in: %v", variable.Name, err)
		}
	}
	for _, problem := range []string{`START_PRICES: "?"`, `START_PRICES: "-1"`, "START_PRICES: it has 2 values"} {
		if !strings.Contains(err.Error(), problem) {
			t.Errorf("%q is missing in: %v", problem, err)
		}
	}
}

func TestTheURLMayComeFromAFileButNotFromBoth(t *testing.T) {
	path := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(path, []byte("amqp://u:hush@broker/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Load(environment(map[string]string{"RABBITMQ_URL_FILE": path}))
	if err != nil || got.Broker.Reveal() != "amqp://u:hush@broker/" {
		t.Errorf("URL is %q, error %v", got.Broker.Reveal(), err)
	}
	_, err = Load(environment(map[string]string{"RABBITMQ_URL_FILE": path, "RABBITMQ_URL": "amqp://u:hush@h/"}))
	if err == nil || !strings.Contains(err.Error(), "one of the two") {
		t.Errorf("both set: error is %v", err)
	}
}

func TestThePasswordIsNeverPrinted(t *testing.T) {
	configuration, err := Load(environment(map[string]string{"RABBITMQ_URL": "amqp://u:hush@broker:5673/v"}))
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("start", "broker", configuration.Broker, "all", configuration)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", configuration, configuration, configuration, configuration.Broker), log.String()} {
		if strings.Contains(text, "hush") {
			t.Errorf("the password shows in %s", text)
		}
	}
	if shown := configuration.Broker.String(); shown != "broker:5673 v" {
		t.Errorf("the broker is shown as %q", shown)
	}
}

func TestHelpAndREADMEDocumentEveryVariableWithItsDefault(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range Variables {
		if help := Help(); !strings.Contains(help, variable.Name) || !strings.Contains(help, variable.Default) {
			t.Errorf("--help lacks %s or its default", variable.Name)
		}
		shown := variable.Default
		if shown != "" {
			shown = "`" + shown + "`"
		}
		row := fmt.Sprintf("| `%s` | %s | %s |", variable.Name, shown, variable.Meaning)
		if !strings.Contains(string(readme), row) {
			t.Errorf("README.md lacks the row: %s", row)
		}
	}
}
