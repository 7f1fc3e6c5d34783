// Package trade holds what is published: a trade's body and its identity on the wire.
package trade

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"time"
)

// The two kinds of event.
const (
	Buy  = "buy"
	Sell = "sell"
)

// Trade is one synthetic transaction. Its JSON is the whole body of a message;
// other publishers and consumers know exactly these three fields.
type Trade struct {
	Company   string  `json:"company"`
	EventType string  `json:"eventType"`
	Price     float64 `json:"price"`
}

// Body returns the trade as JSON. It fails when the price is no finite number.
func (t Trade) Body() ([]byte, error) {
	return json.Marshal(t)
}

// NewEpoch names one run of one publisher on one queue: 26 letters and digits,
// never a colon, unlike any other run's, and sorting by the time of the start.
func NewEpoch(start time.Time) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(start.UnixMilli())<<16)
	rand.Read(id[6:])
	return base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:])
}

// ID is the message id under which a trade is sent, and sent again.
func ID(epoch string, sequence uint64) string {
	return epoch + ":" + strconv.FormatUint(sequence, 10)
}
