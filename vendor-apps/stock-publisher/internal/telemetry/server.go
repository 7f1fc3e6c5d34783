package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Paths that answer 200, or 503 with what the publisher waits for.
const (
	ReadyPath   = "/readyz"   // every company is ready
	StartedPath = "/startedz" // every company was ready, once
)

// Handler serves /metrics, /healthz (the process is alive), ReadyPath and
// StartedPath.
func Handler(metrics *Metrics) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET "+ReadyPath, func(w http.ResponseWriter, _ *http.Request) {
		companies, ready := metrics.Readiness()
		answer(w, "ready", ready, companies)
	})
	mux.HandleFunc("GET "+StartedPath, func(w http.ResponseWriter, _ *http.Request) {
		companies, started := metrics.Startup()
		answer(w, "started", started, companies)
	})
	return mux
}

func answer(w http.ResponseWriter, what string, success bool, companies map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	if !success {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	json.NewEncoder(w).Encode(map[string]any{what: success, "companies": companies})
}

// Serve serves the handler on the listener in the background, until stop is
// called.
func Serve(listener net.Listener, handler http.Handler) (stop func()) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	go server.Serve(listener)
	return func() { server.Close() }
}

// CheckHealth requests path from the publisher on address (host:port). It fails
// when the answer is not 200 or does not come within 3 s.
func CheckHealth(ctx context.Context, address, path string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return err
	}
	// Without a proxy: the address is on this host.
	response, err := (&http.Transport{}).RoundTrip(request)
	if err != nil {
		return fmt.Errorf("no publisher answers: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return errors.New("not ready: " + string(body))
	}
	return nil
}
