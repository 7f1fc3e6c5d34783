package company

import (
	"strings"
	"testing"
)

func TestSymbolsAsExchangesUseThemAreValid(t *testing.T) {
	for _, symbol := range []string{
		"MSFT", "msft", "F", "3M", "BRK.B", "0700.HK", "^GSPC", "BTC-USD", "RDS/A", "ES=F", "NYSE:BRK_B",
		"AMQ.A", "amq", "rejected", "A.rejected.B", "-", ".", strings.Repeat("A", 32),
	} {
		if err := Check(symbol); err != nil {
			t.Errorf("%s is refused: %v", symbol, err)
		}
	}
}

func TestSymbolsThatBreakTheRuleAreRefusedWithTheReason(t *testing.T) {
	for symbol, reason := range map[string]string{
		"":                      "empty",
		strings.Repeat("A", 33): "longer than 32",
		"A B":                   "a character other than",
		"A\n":                   "a character other than",
		"A'B":                   "a character other than",
		"A*":                    "a character other than",
		"A$":                    "a character other than",
		"ÄG":                    "a character other than",
		"amq.gen-1":             "begin with amq.",
		"MSFT.rejected":         "ends in .rejected",
	} {
		if err := Check(symbol); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: the error is %v, want %q", symbol, err, reason)
		}
	}
}
