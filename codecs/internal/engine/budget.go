package engine

import (
	"math"
	"reflect"

	"github.com/carp-rpc/carp-go/codecs/args"
)

// The bytes of a peer turn into more bytes of memory: 0xc0 is one byte of
// msgpack and 16 as an element of a []any. What a Decoder allocates is therefore
// counted, and a value that would cost more than budgetFactor times its encoded
// size is refused, unless it stays within budgetFloor, so that small values are
// never affected. Ordinary data costs 2 to 20 times its size; what comes near
// the limit is long lists of empty maps, or empty elements for large structs.
const (
	budgetFactor = 56 // a little below the promised 64: allocations are rounded up
	budgetFloor  = 64 << 10
)

// Budget is how many bytes may still be allocated.
type Budget int

// NewBudget returns the budget for a value whose encoded form has size bytes.
func NewBudget(size int) Budget {
	if size > (math.MaxInt-budgetFloor)/budgetFactor { // on 32-bit platforms
		return math.MaxInt
	}
	return Budget(budgetFloor + budgetFactor*size)
}

// few is how many pieces of a body may have a budget each: counting them together takes
// an allocation of its own, which most calls are spared.
const few = 4

// Share gives the pieces of a body of size bytes one budget, if they are many: the
// floor of each would add up.
func Share(all *args.Arguments, size int) {
	if len(all.Positional)+len(all.Named) <= few {
		return
	}
	budget := int(NewBudget(size))
	for i := range all.Positional {
		all.Positional[i].Budget = &budget
	}
	for i := range all.Named {
		all.Named[i].Raw.Budget = &budget
	}
}

// ShareResults is Share for the pieces of a reply.
func ShareResults(pieces []args.Raw, size int) {
	if len(pieces) > few {
		Share(&args.Arguments{Positional: pieces}, size)
	}
}

// Charge takes n bytes, about to be allocated, from the budget.
func (b *Budget) Charge(n int) error {
	if *b -= Budget(n); *b < 0 || n < 0 {
		return cannot("a value that would take more than %d times its size in memory", budgetFactor)
	}
	return nil
}

// ChargeSlice charges for n elements of type t.
func (b *Budget) ChargeSlice(n int, t reflect.Type) error {
	return b.chargeEach(n, int(t.Size()))
}

func (b *Budget) chargeEach(n, size int) error {
	if size > 0 && n > int(*b)/size {
		n = int(*b)/size + 1 // also when n*size is no int
	}
	return b.Charge(n * size)
}

// Go's maps come in groups of 8 slots and are at most 7/8 full after they grew;
// their header takes 48 bytes, and what is larger than 128 bytes is allocated by
// itself.
const (
	mapHeader = 48
	mapGroup  = 8
	mapInline = 128
)

// ChargeMap charges for a new map of n entries.
func (b *Budget) ChargeMap(n int, key, elem reflect.Type) error {
	slot := int(min(key.Size(), mapInline)+min(elem.Size(), mapInline)) + 1
	if err := b.Charge(mapHeader); err != nil || n == 0 {
		return err
	}
	if size := int(elem.Size()); size > mapInline {
		if err := b.chargeEach(n, size); err != nil {
			return err
		}
	}
	if n <= mapGroup {
		return b.Charge(mapGroup * (slot + 1))
	}
	return b.chargeEach(n, 2*slot)
}
