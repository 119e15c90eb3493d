package explore

// Recv is <-ch as a step. ch must not be closed. Package overlay puts it in
// place of the operator.
func Recv[T any](ch <-chan T) T {
	if !When(ch, Write, func() bool { return len(ch) > 0 }) || !Aborted() {
		return <-ch
	}
	var zero T
	return zero
}

// Offer is the step of a select that may send to or receive from ch, and has a
// default.
func Offer[T any](ch chan T) { Touch((<-chan T)(ch), Write) }
