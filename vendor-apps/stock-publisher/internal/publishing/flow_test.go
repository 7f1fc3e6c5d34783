package publishing

import (
	"testing"
	"time"
)

// fullQueue plays a broker whose queue is full, and of which a reader takes
// readEach trades in each pause. It returns how many trades the broker took and
// refused in so many seconds, when as many are sent as flow allows.
func fullQueue(seconds int, readEach time.Duration) (taken, refused int) {
	const flight = time.Millisecond // from sending to the verdict
	f := newFlow(2048)
	begin := time.Unix(0, 0)
	room, read := 0, begin
	tag := uint64(1)
	for now := begin; now.Before(begin.Add(time.Duration(seconds) * time.Second)); now = now.Add(flight) {
		for readEach > 0 && now.Sub(read) >= readEach {
			room, read = room+1, read.Add(readEach)
		}
		if now.Before(f.resume) {
			continue
		}
		first, count := tag, f.allowed
		tag += uint64(count)
		for sent := first; sent < tag; sent++ {
			if room > 0 {
				room--
				taken++
				f.confirm(sent)
			} else {
				refused++
				f.refuse(sent, tag, now)
			}
		}
	}
	return taken, refused
}

func TestAFullQueueThatNobodyReadsIsTriedSeldom(t *testing.T) {
	_, refused := fullQueue(60, 0)
	// What was in flight at the first refusal, then one for each pause of 2.5 to 5 s.
	if most := 2048 + 40; refused > most {
		t.Errorf("%d trades were refused in a minute, want at most %d", refused, most)
	}
}

func TestAFullQueueThatIsReadSlowlyIsKeptFull(t *testing.T) {
	taken, refused := fullQueue(60, 10*time.Millisecond)
	if taken < 5900 {
		t.Errorf("%d trades were taken, want nearly all of the 6000 there was room for", taken)
	}
	if most := 2048 + 2*taken; refused > most {
		t.Errorf("%d trades were refused and %d taken, want at most %d refused", refused, taken, most)
	}
}

func TestTradesInFlightAtARefusalMakeThePauseNoLonger(t *testing.T) {
	f, now := newFlow(2048), time.Unix(0, 0)
	if !f.refuse(1, 65, now) {
		t.Error("the first refusal does not begin them")
	}
	resume := f.resume
	for tag := uint64(2); tag < 65; tag++ {
		if f.refuse(tag, 65, now) {
			t.Fatal("the refusals begin twice")
		}
	}
	f.confirm(64)
	if f.resume != resume || f.allowed != 1 {
		t.Errorf("the pause ends at %v, want %v; %d trades are allowed, want 1", f.resume, resume, f.allowed)
	}
	f.refuse(65, 66, resume)
	if pause := f.resume.Sub(resume); pause < 100*time.Millisecond || pause > 200*time.Millisecond {
		t.Errorf("the second pause is %v, want 100 to 200 ms", pause)
	}
}

func TestRefusalsAreOverOnlyAfterAConfirmationAndAWhile(t *testing.T) {
	f, now := newFlow(2048), time.Unix(0, 0)
	if !f.calmAt().IsZero() {
		t.Error("refusals end that never began")
	}
	f.refuse(1, 2, now)
	if !f.calmAt().IsZero() {
		t.Error("refusals end although the broker took nothing")
	}
	f.confirm(2)
	if f.calmAt() != now.Add(calm) {
		t.Errorf("refusals end at %v, want %v", f.calmAt(), now.Add(calm))
	}
	f.end()
	if f.isRefused() || !f.refuse(3, 4, now) {
		t.Error("refusals that are over do not begin again")
	}
}
