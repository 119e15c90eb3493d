package explore

import "reflect"

// Recv is <-ch as a step. ch must not be closed. Package overlay puts it in
// place of the operator.
func Recv[T any](ch <-chan T) T {
	if !When(ch, Write, func() bool { return len(ch) > 0 }) || !Aborted() {
		return <-ch
	}
	var zero T
	return zero
}

// Send is ch <- v as a step. ch must have a buffer and not be closed.
func Send[T any](ch chan T, v T) {
	if When((<-chan T)(ch), Write, func() bool { return len(ch) < cap(ch) }) && Aborted() {
		return
	}
	ch <- v
}

// Offer is the step of a select that may send to ch, and has a default.
func Offer[T any](ch chan T) {
	TouchUnless((<-chan T)(ch), func() bool { return len(ch) == cap(ch) })
}

// Look is the step of a select that may receive from ch, and has a default.
func Look[T any](ch <-chan T) { TouchUnless(ch, func() bool { return len(ch) == 0 }) }

// Close is close(ch) as a step.
func Close[T any](ch chan T) {
	Touch((<-chan T)(ch), Write)
	close(ch)
}

// Select is the step of a select without a default whose cases receive from chans. It gives
// the index of one that can go on; which of several is left to chance. The caller then takes
// what there is with [Take].
func Select(chans ...any) int {
	var o op
	cases := make([]reflect.Value, len(chans))
	for i, ch := range chans {
		cases[i] = reflect.ValueOf(ch)
		if cases[i].IsNil() {
			continue
		}
		// Nothing is taken from a channel without a buffer: all one can do is close it.
		what := touch{kind: Read}
		if cases[i].Cap() > 0 {
			what.kind = Write
		}
		what.object = cases[i].Convert(reflect.ChanOf(reflect.RecvDir, cases[i].Type().Elem())).Interface()
		o.more = append(o.more, what)
	}
	o.object, o.kind, o.more = o.more[0].object, o.more[0].kind, o.more[1:]
	o.enabled = func() bool { return len(receivable(cases)) > 0 }
	current.pauseAt(o)
	ready := receivable(cases)
	if len(ready) == 0 {
		return 0 // aborted
	}
	return ready[Choose(len(ready))]
}

// receivable are the indices of the channels that something can be received from, or that
// are closed.
func receivable(chans []reflect.Value) []int {
	var ready []int
	for i, ch := range chans {
		if ch.Len() > 0 {
			ready = append(ready, i)
		} else if v, _ := ch.TryRecv(); v.IsValid() {
			ready = append(ready, i) // closed
		}
	}
	return ready
}

// Take receives what there is.
func Take[T any](ch <-chan T) T {
	select {
	case v := <-ch:
		return v
	default:
		var zero T
		return zero
	}
}
