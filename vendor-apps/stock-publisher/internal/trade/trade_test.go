package trade

import (
	"strings"
	"testing"
	"time"
)

func TestBodyHasExactlyTheThreeFieldsOfTheContract(t *testing.T) {
	body, err := Trade{Company: "MSFT", EventType: Buy, Price: 312.0471}.Body()
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"company":"MSFT","eventType":"buy","price":312.0471}`; string(body) != want {
		t.Errorf("body is %s, want %s", body, want)
	}
}

func TestEpochsSortByStartHoldNoColonAndNeverRepeat(t *testing.T) {
	start := time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	seen := map[string]bool{}
	earlier := ""
	for i := range 1000 {
		epoch := NewEpoch(start.Add(time.Duration(i) * time.Millisecond))
		if len(epoch) != 26 || strings.Contains(epoch, ":") {
			t.Fatalf("epoch %q: want 26 characters without a colon", epoch)
		}
		if epoch <= earlier {
			t.Fatalf("epoch %q of a later start sorts before %q", epoch, earlier)
		}
		earlier = epoch
	}
	for range 1000 {
		epoch := NewEpoch(start)
		if seen[epoch] {
			t.Fatalf("two runs started in the same millisecond share epoch %q", epoch)
		}
		seen[epoch] = true
	}
}

func TestIDJoinsEpochAndSequenceWithOneColon(t *testing.T) {
	if id := ID("EPOCH", 18446744073709551615); id != "EPOCH:18446744073709551615" {
		t.Errorf("id is %q", id)
	}
}
