package publishing

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"stock-publisher/internal/broker"
)

// theBroker simulates a broker behind a network: it appends the trades that
// reach it to its queue, and its verdicts may be lost.
type theBroker struct {
	queue    []uint64 // the sequences in it, in order
	verdicts []verdict
	tag      uint64
	refused  bool // it has refused a trade, so trades may arrive out of order
}

type verdict struct {
	tag           uint64
	ack, returned bool
	sequence      uint64
}

// take receives one trade, and queues it when it is confirmed and not returned.
func (b *theBroker) take(sequence uint64, ack, returned bool) {
	b.tag++
	if ack && !returned {
		b.queue = append(b.queue, sequence)
	} else {
		b.refused = true
	}
	b.verdicts = append(b.verdicts, verdict{b.tag, ack, returned, sequence})
}

// play drives the buffer through the steps in story: trades made, sent, lost,
// confirmed, nacked, returned, and sessions that end at any point. Then it
// delivers the rest and checks what has arrived.
func play(t *testing.T, story []byte) {
	const capacity = 7
	held := newUnconfirmed(capacity)
	var server theBroker
	lossy := false // a session ended before all its verdicts were heard
	confirmed, inFlight := map[uint64]bool{}, map[uint64]bool{}

	send := func(arrives, ack, returned bool) {
		next := held.nextUnsent()
		if next == nil {
			return
		}
		if confirmed[next.sequence] || inFlight[next.sequence] {
			t.Fatalf("trade %d is sent again, but confirmed: %v, in flight: %v",
				next.sequence, confirmed[next.sequence], inFlight[next.sequence])
		}
		inFlight[next.sequence] = true
		held.sent(time.Unix(1, 0), broker.Verdict{})
		if arrives {
			server.take(next.sequence, ack, returned)
		}
	}
	restart := func() {
		lossy = lossy || len(server.verdicts) > 0
		held.restart()
		server.verdicts, server.tag = nil, 0
		clear(inFlight)
	}
	// hear handles one verdict, and begins a new session when the trade was returned.
	hear := func() {
		if len(server.verdicts) == 0 {
			return
		}
		heard := server.verdicts[0]
		server.verdicts = server.verdicts[1:]
		if heard.returned {
			held.markReturned(heard.sequence)
		}
		judged, _ := held.awaited()
		if judged.sequence != heard.sequence {
			t.Fatalf("the verdict on trade %d was taken for one on %d", heard.sequence, judged.sequence)
		}
		delete(inFlight, heard.sequence)
		switch {
		case judged.returned:
			restart()
		case heard.ack:
			confirmed[heard.sequence] = true
			held.confirm()
		default:
			held.refuse()
		}
	}

	online := true // once a trade is lost, all later ones of the session are lost
	for _, step := range story {
		switch step % 8 {
		case 0, 1:
			if !held.full() {
				held.add([]byte{step}, time.Unix(0, 0))
			}
		case 2, 3:
			send(online, true, false)
		case 4:
			hear()
		case 5:
			online = false
		case 6:
			restart()
			online = true
		case 7:
			send(online, step&8 == 0, step&16 == 0)
		}
		if held.len() > capacity {
			t.Fatalf("%d trades are held, more than %d", held.len(), capacity)
		}
		for sequence := held.oldest; sequence < held.next; sequence++ {
			if trade := held.at(sequence); trade.sequence != sequence || trade.confirmed != confirmed[sequence] {
				t.Fatalf("trade %d is held wrongly", sequence)
			}
		}
		if held.inFlight() != len(inFlight) {
			t.Fatalf("%d trades count as in flight, want %d", held.inFlight(), len(inFlight))
		}
		if uint64(len(confirmed)+held.len()) != held.made() {
			t.Fatalf("%d made, %d confirmed, %d held", held.made(), len(confirmed), held.len())
		}
	}

	if online {
		for len(server.verdicts) > 0 {
			hear()
		}
	} else {
		restart()
	}
	for held.nextUnsent() != nil {
		send(true, true, false)
	}
	for len(server.verdicts) > 0 {
		hear()
	}
	if held.len() != 0 || held.oldest != held.next {
		t.Fatalf("all is sent and confirmed, but %d trades are held", held.len())
	}
	seen := map[uint64]bool{}
	var first []uint64
	for _, sequence := range server.queue {
		if !seen[sequence] {
			first = append(first, sequence)
		}
		seen[sequence] = true
	}
	if len(server.queue) > len(first) && !lossy {
		t.Fatalf("the queue holds doubles, although no verdict was lost: %v", server.queue)
	}
	if uint64(len(first)) != held.made() {
		t.Fatalf("%d trades made, %d different ones arrived", held.made(), len(first))
	}
	if !server.refused && !slices.IsSorted(first) {
		t.Fatalf("trades arrived out of order: %v", first)
	}
}

func FuzzEveryTradeArrivesInOrderWhateverTheSessionsDo(f *testing.F) {
	f.Add([]byte{0, 0, 2, 2, 4, 4})        // two trades, both confirmed
	f.Add([]byte{0, 0, 2, 5, 2, 6, 2, 2})  // the second is lost, both are sent again
	f.Add([]byte{0, 0, 0, 2, 2, 4, 6, 2})  // a session ends with a verdict outstanding
	f.Add([]byte{0, 0, 23, 7, 4, 4})       // a nack, a return
	f.Add([]byte{0, 0, 0, 15, 2, 4, 4, 2}) // the first of two is nacked, and sent before the third
	f.Fuzz(play)
}

func TestEveryTradeArrivesInOrderThroughManyRandomStories(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		story := make([]byte, random.IntN(200))
		for i := range story {
			story[i] = byte(random.Uint32())
		}
		play(t, story)
	}
}
