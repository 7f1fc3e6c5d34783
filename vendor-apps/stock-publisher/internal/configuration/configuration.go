// Package configuration reads the publisher's settings from its environment.
package configuration

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stock-publisher/internal/company"
	"stock-publisher/internal/prices"
)

// Configuration holds every setting. Variables documents each one.
type Configuration struct {
	Broker     BrokerURL       // RABBITMQ_URL or RABBITMQ_URL_FILE
	Companies  []string        // STOCKS
	Interval   time.Duration   // TICKER_INTERVAL; 0: as fast as the broker confirms
	Intervals  []time.Duration // TICKER_INTERVALS: one for each company; Interval where it says nothing
	PriceModel string          // PRICE_MODEL, one of prices.Models
	// One for each company, for the model walk; 0: the model's own choice.
	StartPrices  []float64  // START_PRICES
	Volatilities []float64  // VOLATILITIES, in percent a year
	Seed         *uint64    // SEED; nil: the caller's choice
	TradeLimit   uint64     // TRADES; 0: no limit
	QueueType    string     // QUEUE_TYPE, one of queueTypes
	HTTPAddress  string     // HTTP_ADDRESS
	LogLevel     slog.Level // LOG_LEVEL
	LogFormat    string     // LOG_FORMAT, one of logFormats; empty: text on a terminal, else json
}

const (
	longestInterval = time.Hour // of TICKER_INTERVAL
	longestTimeout  = time.Hour // of connection_timeout in RABBITMQ_URL
)

var (
	queueTypes = []string{"quorum", "classic"}
	logFormats = []string{"text", "json"}
)

// BrokerURL is an AMQP URL that never prints its password.
type BrokerURL struct{ secret string }

// Reveal returns the URL with its password. Use it only to connect.
func (u BrokerURL) Reveal() string { return u.secret }

// String returns the parts of the URL that are not secret: host, port and
// virtual host.
func (u BrokerURL) String() string {
	uri, err := amqp.ParseURI(u.secret)
	if err != nil {
		return "(no broker)"
	}
	return net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port)) + " " + uri.Vhost
}

// GoString keeps the password out of %#v.
func (u BrokerURL) GoString() string { return u.String() }

// LogValue keeps the password out of structured logs.
func (u BrokerURL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// Problems lists what is wrong with the environment. Each entry begins with the
// name of its variable.
type Problems []string

// Error returns all problems, one per line.
func (p Problems) Error() string {
	return "the configuration is wrong:\n  " + strings.Join(p, "\n  ")
}

// Load reads the configuration with getenv, such as os.Getenv. An empty variable
// counts as unset. An error is of type Problems and contains no secret.
func Load(getenv func(string) string) (Configuration, error) {
	r := reader{getenv: getenv}
	interval := time.Duration(r.number("TICKER_INTERVAL", uint64(longestInterval.Milliseconds()))) * time.Millisecond
	configuration := Configuration{
		Broker:       r.broker(),
		Companies:    r.companies(),
		Interval:     interval,
		Intervals:    r.intervals(interval),
		PriceModel:   r.oneOf("PRICE_MODEL", prices.Models()),
		StartPrices:  r.forEachCompany("START_PRICES", "price", prices.LowestStart, prices.HighestStart, 430.5, 0),
		Volatilities: r.forEachCompany("VOLATILITIES", "percentage", prices.LowestVolatility, prices.HighestVolatility, 30, 0),
		Seed:         r.seed(),
		TradeLimit:   r.number("TRADES", 1<<63),
		QueueType:    r.oneOf("QUEUE_TYPE", queueTypes),
		HTTPAddress:  r.address("HTTP_ADDRESS"),
		LogLevel:     r.level("LOG_LEVEL"),
		LogFormat:    r.oneOf("LOG_FORMAT", logFormats),
	}
	if len(r.problems) > 0 {
		return Configuration{}, r.problems
	}
	return configuration, nil
}

// LoadHTTPAddress reads HTTP_ADDRESS, the only setting that a health check needs.
// An error is of type Problems.
func LoadHTTPAddress(getenv func(string) string) (string, error) {
	r := reader{getenv: getenv}
	address := r.address("HTTP_ADDRESS")
	if len(r.problems) > 0 {
		return "", r.problems
	}
	return address, nil
}

// reader reads variables and collects their problems.
type reader struct {
	getenv   func(string) string
	problems Problems
}

func (r *reader) value(name string) string {
	if value := r.getenv(name); value != "" {
		return value
	}
	return defaultOf(name)
}

func (r *reader) reject(name, format string, args ...any) {
	r.problems = append(r.problems, name+": "+fmt.Sprintf(format, args...))
}

// broker reads the broker's URL. Its problems contain neither the value nor the
// parser's error, which quotes the value.
func (r *reader) broker() BrokerURL {
	name, address := "RABBITMQ_URL", r.value("RABBITMQ_URL")
	if path := r.getenv("RABBITMQ_URL_FILE"); path != "" {
		name = "RABBITMQ_URL_FILE"
		if r.getenv("RABBITMQ_URL") != "" {
			r.reject(name, "RABBITMQ_URL is set too; set one of the two")
		}
		content, err := os.ReadFile(path)
		if err != nil {
			r.reject(name, "cannot be read: %v", err)
			return BrokerURL{}
		}
		address = strings.TrimSpace(string(content))
	}
	if problem := problemOf(address); problem != "" {
		r.reject(name, "%s", problem)
	}
	return BrokerURL{secret: address}
}

// problemOf returns what is wrong with an AMQP URL, or nothing.
func problemOf(address string) string {
	if parsed, err := url.Parse(address); err == nil {
		query := parsed.Query()
		for _, parameter := range urlNumbers {
			number, err := strconv.ParseUint(query.Get(parameter.name), 10, 64)
			if query.Has(parameter.name) && (err != nil || number < parameter.least || number > parameter.most) {
				return fmt.Sprintf("%s in its query is no whole number of %s from %d to %d, such as %s=%d",
					parameter.name, parameter.unit, parameter.least, parameter.most, parameter.name, parameter.example)
			}
		}
		if problem := problemOfTLS(query); problem != "" {
			return problem
		}
	}
	uri, err := amqp.ParseURI(address)
	if err != nil || uri.Port < 1 || uri.Port > 65535 {
		return "holds no AMQP URL such as amqp://user:password@host:5672/ " +
			"(reserved characters in it are percent-encoded; not shown here, for its password)"
	}
	return ""
}

// problemOfTLS returns what is wrong with the files that a URL's query names, or
// nothing. The client library ignores a file without certificates, and a
// certificate without its key.
func problemOfTLS(query url.Values) string {
	if path := query.Get("cacertfile"); path != "" {
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Sprintf("cacertfile in its query cannot be read: %v", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(content) {
			return "cacertfile in its query names a file without certificates in PEM form"
		}
	}
	certificate, key := query.Get("certfile"), query.Get("keyfile")
	if (certificate == "") != (key == "") {
		return "certfile and keyfile in its query need each other"
	}
	if certificate != "" {
		if _, err := tls.LoadX509KeyPair(certificate, key); err != nil {
			return fmt.Sprintf("certfile and keyfile in its query cannot be used: %v", err)
		}
	}
	return ""
}

// urlNumbers are the numeric query parameters of RabbitMQ's URLs that are
// honoured. Unknown parameters are ignored, as RabbitMQ's clients do.
var urlNumbers = []struct {
	name, unit           string
	least, most, example uint64
}{
	{"connection_timeout", "milliseconds", 1, uint64(longestTimeout.Milliseconds()), 10_000},
	{"heartbeat", "seconds", 0, 65535, 10},
	{"channel_max", "channels", 0, 65535, 16},
}

func (r *reader) companies() []string {
	var companies []string
	for _, symbol := range items(r.value("STOCKS")) {
		if err := company.Check(symbol); err != nil {
			r.reject("STOCKS", "%q is no symbol: %v. A symbol has %s, such as MSFT or BRK.B", symbol, err, company.Rule)
		} else if slices.Contains(companies, symbol) {
			r.reject("STOCKS", "%s is listed twice; list each company once", symbol)
		} else {
			companies = append(companies, symbol)
		}
	}
	return companies
}

// intervals reads each company's interval. One that has none gets the common one.
func (r *reader) intervals(common time.Duration) []time.Duration {
	milliseconds := r.forEachCompany("TICKER_INTERVALS", "number of milliseconds", 0, float64(longestInterval.Milliseconds()), 0.5,
		float64(common)/float64(time.Millisecond))
	intervals := make([]time.Duration, len(milliseconds))
	for i, number := range milliseconds {
		intervals[i] = time.Duration(math.Round(number * float64(time.Millisecond)))
	}
	return intervals
}

// lineEnd separates items as a comma does, with or without one before it.
var lineEnd = regexp.MustCompile(`[ \t]*,?[ \t\r]*\n\s*`)

// items returns the items of a list that are separated by commas or line ends.
func items(list string) []string {
	items := strings.Split(lineEnd.ReplaceAllString(strings.TrimSpace(list), ","), ",")
	for i, item := range items {
		items[i] = strings.TrimSpace(item)
	}
	return items
}

// forEachCompany reads one number from least to most for all companies, or a list
// of one for each, in the order of STOCKS. What is empty is unset.
func (r *reader) forEachCompany(name, what string, least, most, example, unset float64) []float64 {
	list, companies := items(r.value(name)), items(r.value("STOCKS"))
	numbers := slices.Repeat([]float64{unset}, len(companies))
	if len(list) != 1 && len(list) != len(companies) {
		r.reject(name, "it has %d values, but STOCKS has %d companies; give one for all, or one for each in the order of STOCKS",
			len(list), len(companies))
	}
	for i, item := range list {
		if item == "" {
			continue
		}
		number, err := strconv.ParseFloat(item, 64)
		if err != nil || !(number >= least && number <= most) {
			r.reject(name, "%q is no %s from %s to %s, such as %s", item, what, plain(least), plain(most), plain(example))
		} else if i < len(numbers) {
			numbers[i] = number
		}
	}
	if len(list) == 1 {
		numbers = slices.Repeat(numbers[:1], len(companies))
	}
	return numbers
}

// plain returns a number without an exponent.
func plain(number float64) string { return strconv.FormatFloat(number, 'f', -1, 64) }

// number reads a whole number from 0 to most. Without a value and a default it is 0.
func (r *reader) number(name string, most uint64) uint64 {
	text := r.value(name)
	if text == "" {
		return 0
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil || number > most {
		r.reject(name, "%q is no whole number from 0 to %d, such as 1", text, most)
	}
	return number
}

func (r *reader) seed() *uint64 {
	text := r.value("SEED")
	if text == "" {
		return nil
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		r.reject("SEED", "%q is no whole number from 0 to %d, such as 42", text, uint64(1<<64-1))
	}
	return &seed
}

func (r *reader) oneOf(name string, allowed []string) string {
	text := r.value(name)
	if text != "" && !slices.Contains(allowed, text) {
		r.reject(name, "%q is not one of: %s", text, strings.Join(allowed, ", "))
	}
	return text
}

func (r *reader) address(name string) string {
	text := r.value(name)
	_, port, err := net.SplitHostPort(text)
	if number, portErr := strconv.ParseUint(port, 10, 16); errors.Join(err, portErr) != nil || number == 0 {
		r.reject(name, "%q is no host:port with a port from 1 to 65535, such as 127.0.0.1:9100", text)
	}
	return text
}

func (r *reader) level(name string) slog.Level {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	text := r.value(name)
	level, known := levels[text]
	if !known {
		r.reject(name, "%q is not one of: debug, info, warn, error", text)
	}
	return level
}
