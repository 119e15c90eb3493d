package rpctest

// Builtin returns the differences that are allowed to every stack, each with
// its reason.
func Builtin() []Difference {
	return nil
}
