// Package trade defines a message's body and its id.
package trade

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"time"
)

// MessageType is the AMQP type of every message. It tells a consumer that the
// message's id is an epoch and a sequence; other publishers use ids for what they
// like.
const MessageType = "stockmarket.trade.v1"

// The values of EventType.
const (
	Buy  = "buy"
	Sell = "sell"
)

// Trade is one synthetic trade. Its JSON is the whole body of a message, with
// exactly the three fields that other publishers and consumers use.
type Trade struct {
	Company   string  `json:"company"`
	EventType string  `json:"eventType"`
	Price     float64 `json:"price"`
}

// Body returns the trade as JSON. It fails when the price is not finite.
func (t Trade) Body() ([]byte, error) {
	return json.Marshal(t)
}

// NewEpoch returns a unique name for one run of one publisher on one queue: 26
// letters and digits that sort by the time of the start, in ms.
func NewEpoch(start time.Time) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(start.UnixMilli())<<16)
	rand.Read(id[6:])
	return base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:])
}

// ID returns the message id of a trade; it stays the same when the trade is sent
// again.
func ID(epoch string, sequence uint64) string {
	return epoch + ":" + strconv.FormatUint(sequence, 10)
}
