// Stock-publisher publishes synthetic stock trades to RabbitMQ.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"stock-publisher/internal/configuration"
	"stock-publisher/internal/prices"
	"stock-publisher/internal/publishing"
	"stock-publisher/internal/telemetry"
)

// version is set when building: -ldflags "-X main.version=1.2.3".
var version = "dev"

const (
	exitFailure       = 1
	exitUsage         = 64 // EX_USAGE
	exitConfiguration = 78 // EX_CONFIG
)

const usage = `stock-publisher publishes synthetic stock trades to RabbitMQ, one queue per company.

usage: stock-publisher                      publish until SIGTERM or SIGINT
       stock-publisher healthcheck          exit with 0 if the running publisher is ready, else with 1
       stock-publisher healthcheck started  the same until it is ready for the first time; from then on
                                            exit with 1 only if it does not answer: for an orchestrator
                                            that restarts what fails
       stock-publisher --help | --version

Environment:
`

func main() {
	os.Exit(run(untilSignal(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// untilSignal returns a context that ends with the first SIGTERM or SIGINT. The
// second one ends the program at once.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitFailure)
	}()
	return ctx
}

// run runs the command in arguments until it or ctx ends, and returns the exit code.
func run(ctx context.Context, arguments []string, getenv func(string) string, stdout, stderr io.Writer) int {
	switch command := strings.Join(arguments, " "); command {
	case "":
		return explain(stderr, publish(ctx, getenv, stderr))
	case "healthcheck":
		return explain(stderr, checkHealth(ctx, getenv, telemetry.ReadyPath))
	case "healthcheck started":
		return explain(stderr, checkHealth(ctx, getenv, telemetry.StartedPath))
	case "--help", "-h":
		fmt.Fprint(stdout, usage, configuration.Help())
		return 0
	case "--version":
		fmt.Fprintln(stdout, "stock-publisher", version)
		return 0
	default:
		fmt.Fprintf(stderr, "stock-publisher: unknown command %q; see stock-publisher --help\n", command)
		return exitUsage
	}
}

// explain prints an error, if any, and returns the exit code for it.
func explain(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "stock-publisher:", err)
	var problems configuration.Problems
	if errors.As(err, &problems) {
		return exitConfiguration
	}
	return exitFailure
}

// publish publishes all companies' trades until ctx ends or the configured number
// of trades is confirmed.
func publish(ctx context.Context, getenv func(string) string, stderr io.Writer) error {
	config, err := configuration.Load(getenv)
	if err != nil {
		return err
	}
	log := telemetry.NewLog(stderr, config.LogFormat, config.LogLevel)
	listener, err := net.Listen("tcp", config.HTTPAddress)
	if err != nil {
		return fmt.Errorf("cannot serve on HTTP_ADDRESS: %w", err)
	}
	metrics := telemetry.NewMetrics(version)
	seed := seedOf(config)
	log.Info("starting", "version", version, "broker", config.Broker, "companies", config.Companies,
		"interval", config.Interval.String(), "prices", config.PriceModel, "seed", seed,
		"queue_type", config.QueueType, "http", config.HTTPAddress)

	companies := make([]publishing.Company, 0, len(config.Companies))
	for i, company := range config.Companies {
		companies = append(companies, publishing.Company{
			Symbol:   company,
			Interval: config.Intervals[i],
			Market: prices.NewMarket(prices.Options{
				Company:    company,
				Model:      config.PriceModel,
				Seed:       seed,
				StartPrice: config.StartPrices[i],
				Volatility: config.Volatilities[i],
			}),
			Meter: metrics.For(company),
		})
	}
	defer telemetry.Serve(listener, telemetry.Handler(metrics))()
	publishing.Run(ctx, publishing.Options{
		Companies:  companies,
		URL:        config.Broker.Reveal(),
		QueueType:  config.QueueType,
		TradeLimit: config.TradeLimit,
		Version:    version,
		Log:        log,
	})
	return nil
}

// seedOf returns the configured seed. Without one, walks have always the same, so
// that a restart goes on where the prices are.
func seedOf(config configuration.Configuration) uint64 {
	switch {
	case config.Seed != nil:
		return *config.Seed
	case config.PriceModel == prices.Walk:
		return 0
	default:
		return rand.Uint64()
	}
}

// checkHealth fails unless the publisher with the same HTTP_ADDRESS answers path
// with success.
func checkHealth(ctx context.Context, getenv func(string) string, path string) error {
	address, err := configuration.LoadHTTPAddress(getenv)
	if err != nil {
		return err
	}
	return telemetry.CheckHealth(ctx, address, path)
}
