package main

import (
	"net"
	"strings"
	"testing"

	"stock-publisher/internal/configuration"
	"stock-publisher/internal/prices"
)

func TestABadConfigurationNamesEveryProblemAndExitsWith78(t *testing.T) {
	p := start(t, map[string]string{
		"RABBITMQ_URL": "amqp://user:hush@host:port/", "STOCKS": "MSFT,A B", "TICKER_INTERVAL": "fast", "START_PRICES": "1,2,3",
	})
	if code := p.awaitExit(); code != 78 {
		t.Errorf("exit code %d, want 78", code)
	}
	for _, name := range []string{"RABBITMQ_URL: ", "STOCKS: ", "TICKER_INTERVAL: ", "START_PRICES: "} {
		if !strings.Contains(p.output(), name) {
			t.Errorf("%q is missing in: %s", name, p.output())
		}
	}
	if strings.Contains(p.output(), "hush") {
		t.Errorf("the password shows in: %s", p.output())
	}
}

func TestHelpNamesEveryVariable(t *testing.T) {
	p := start(t, nil, "--help")
	if code := p.awaitExit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, variable := range configuration.Variables {
		if !strings.Contains(p.output(), variable.Name) {
			t.Errorf("--help lacks %s", variable.Name)
		}
	}
}

func TestVersionAndUnknownArguments(t *testing.T) {
	p := start(t, nil, "--version")
	if code := p.awaitExit(); code != 0 || p.output() != "stock-publisher dev\n" {
		t.Errorf("--version: exit code %d, %q", code, p.output())
	}
	for _, arguments := range [][]string{{"--vresion"}, {"healthcheck", "now"}} {
		p := start(t, nil, arguments...)
		if code := p.awaitExit(); code != 64 || !strings.Contains(p.output(), "--help") {
			t.Errorf("%v: exit code %d, %q", arguments, code, p.output())
		}
	}
}

func TestOnlyWalksHaveTheSameSeedInEveryRun(t *testing.T) {
	given := uint64(7)
	for _, model := range prices.Models() {
		if seed := seedOf(configuration.Configuration{PriceModel: model, Seed: &given}); seed != given {
			t.Errorf("%s: the seed is %d, want the given one, %d", model, seed, given)
		}
		unset := configuration.Configuration{PriceModel: model}
		if same := seedOf(unset) == seedOf(unset); same != (model == prices.Walk) {
			t.Errorf("%s: two runs have the same seed: %v", model, same)
		}
	}
}

func TestAnAddressInUseIsNamedAndExitsWith1(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p := start(t, map[string]string{"HTTP_ADDRESS": listener.Addr().String()})
	if code := p.awaitExit(); code != 1 || !strings.Contains(p.output(), "HTTP_ADDRESS") {
		t.Errorf("exit code %d, %q", code, p.output())
	}
}

func TestWithoutABrokerItStaysAliveNotReadyAndStopsOnSIGTERM(t *testing.T) {
	p := start(t, map[string]string{"RABBITMQ_URL": "amqp://user:hush@" + freeAddress(t) + "/", "STOCKS": "MSFT"})
	p.awaitLog("cannot connect")
	if status, body := p.get("/healthz"); status != 200 {
		t.Errorf("/healthz: %d %s", status, body)
	}
	if status, body := p.get("/readyz"); status != 503 || !strings.Contains(body, "cannot connect") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	for _, command := range [][]string{{"healthcheck"}, {"healthcheck", "started"}} {
		check := start(t, map[string]string{"HTTP_ADDRESS": p.address}, command...)
		if code := check.awaitExit(); code != 1 || !strings.Contains(check.output(), "cannot connect") {
			t.Errorf("%v: exit code %d, %q", command, code, check.output())
		}
	}
	p.signal(terminate)
	if code := p.awaitExit(); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	if strings.Contains(p.output(), "hush") {
		t.Errorf("the password shows in: %s", p.output())
	}
}

func TestHealthcheckFailsWithoutAPublisher(t *testing.T) {
	if code := start(t, nil, "healthcheck").awaitExit(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}
