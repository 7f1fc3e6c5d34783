// Package company says what a company's symbol may be. The symbol is also the
// name of the company's queue.
package company

import (
	"errors"
	"regexp"
	"strings"
)

// Rule describes a valid symbol.
const Rule = "1 to 32 letters, digits and . - _ ^ = / :, not beginning with amq. and not ending in .rejected"

var characters = regexp.MustCompile(`^[A-Za-z0-9.\-_^=/:]{1,32}$`)

// Check returns why a symbol breaks the rule, or nil.
func Check(symbol string) error {
	switch {
	case symbol == "":
		return errors.New("it is empty")
	case len(symbol) > 32:
		return errors.New("it is longer than 32 characters")
	case !characters.MatchString(symbol):
		return errors.New("it has a character other than letters, digits and . - _ ^ = / :")
	case strings.HasPrefix(symbol, "amq."):
		return errors.New("the broker keeps names that begin with amq. for itself")
	case strings.HasSuffix(symbol, ".rejected"):
		return errors.New("queues whose name ends in .rejected hold invalid trades")
	default:
		return nil
	}
}
