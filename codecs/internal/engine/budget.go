package engine

import "reflect"

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

// charge takes n bytes, about to be allocated, from the budget.
func (d *Decoder) charge(n int) error {
	if d.budget -= n; d.budget < 0 || n < 0 {
		return cannot("a value that would take more than %d times its size in memory", budgetFactor)
	}
	return nil
}

// chargeSlice charges for n elements of type t.
func (d *Decoder) chargeSlice(n int, t reflect.Type) error {
	return d.chargeEach(n, int(t.Size()))
}

func (d *Decoder) chargeEach(n, size int) error {
	if size > 0 && n > d.budget/size {
		n = d.budget/size + 1 // also when n*size is no int
	}
	return d.charge(n * size)
}

// Go's maps come in groups of 8 slots and are at most 7/8 full after they grew;
// their header takes 48 bytes, and what is larger than 128 bytes is allocated by
// itself.
const (
	mapHeader = 48
	mapGroup  = 8
	mapInline = 128
)

// chargeMap charges for a new map of n entries.
func (d *Decoder) chargeMap(n int, key, elem reflect.Type) error {
	slot := int(min(key.Size(), mapInline)+min(elem.Size(), mapInline)) + 1
	if err := d.charge(mapHeader); err != nil || n == 0 {
		return err
	}
	if size := int(elem.Size()); size > mapInline {
		if err := d.chargeEach(n, size); err != nil {
			return err
		}
	}
	if n <= mapGroup {
		return d.charge(mapGroup * (slot + 1))
	}
	return d.chargeEach(n, 2*slot)
}
