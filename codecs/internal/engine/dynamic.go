package engine

import (
	"reflect"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// dynamic decodes the next value into the Go type that stands for its kind; see
// package value for the list.
func (d *Decoder) dynamic() (any, error) {
	if err := d.R.Next(&d.tok); err != nil {
		return nil, err
	}
	return d.dynamicToken(&d.tok)
}

// boxCost is about what a value costs that does not fit into an interface's own
// pointer: a slice header, a time.
const boxCost = 24

func (d *Decoder) dynamicToken(t *Token) (any, error) {
	if t.Kind <= Bool {
		if t.Kind == Null {
			return nil, nil
		}
		return t.Num != 0, nil
	}
	switch t.Kind {
	case List:
		return d.dynamicList()
	case Map:
		return d.dynamicMap()
	}
	if err := d.Charge(boxCost); err != nil {
		return nil, err
	}
	switch t.Kind {
	case Int:
		return t.Int64(), nil
	case Uint:
		return t.Num, nil
	case Float:
		return t.Float64(), nil
	case String:
		return d.text(t)
	case Bytes:
		return d.bytes(t)
	case Time:
		return t.GoTime(), nil
	case Date:
		return value.DateOf(t.GoTime()), nil
	case DateTime:
		return value.DateTimeOf(t.GoTime()), nil
	case Ref:
		return *t.Ref, nil
	case BigInt:
		return nil, mismatch("an integer of at most 64 bits", t)
	default:
		return d.named()
	}
}

func (d *Decoder) dynamicList() (any, error) {
	t, err := d.enter()
	if err != nil {
		return nil, err
	}
	defer d.close()
	if err := d.Charge(boxCost); err != nil {
		return nil, err
	}
	n := max(t.Len, 0)
	if err := d.ChargeSlice(n, anyType); err != nil {
		return nil, err
	}
	list := make([]any, 0, n)
	for {
		more, err := d.R.More(t)
		if err != nil {
			return nil, err
		}
		if !more {
			return list, nil
		}
		x, err := d.dynamic()
		if err != nil {
			return nil, Within(Index(len(list)), err)
		}
		if len(list) == cap(list) {
			if list, err = d.growList(list); err != nil {
				return nil, err
			}
		}
		list = append(list, x)
	}
}

// growList makes room for more elements. The format did not say how many there
// are.
func (d *Decoder) growList(list []any) ([]any, error) {
	n := max(4, 2*cap(list))
	if err := d.ChargeSlice(n, anyType); err != nil {
		return nil, err
	}
	return append(make([]any, 0, n), list...), nil
}

// dynamicMap makes a map[string]any for as long as all keys are text, and then
// a map[any]any.
func (d *Decoder) dynamicMap() (any, error) {
	t, err := d.enter()
	if err != nil {
		return nil, err
	}
	defer d.close()
	n := max(t.Len, 0)
	if err := d.ChargeMap(n, stringType, anyType); err != nil {
		return nil, err
	}
	m := make(map[string]any, n)
	known := n
	for {
		more, err := d.R.More(t)
		if err != nil || !more {
			return m, err
		}
		if err := d.R.Key(t, &d.tok); err != nil {
			return nil, err
		}
		if d.tok.Kind != String {
			return d.dynamicAnyMap(t, m)
		}
		name, err := d.text(&d.tok)
		if err != nil {
			return nil, err
		}
		if _, twice := m[name]; twice {
			return nil, Within(Key(name), cannot("a key that the map already has"))
		}
		x, err := d.entryValue(t)
		if err != nil {
			return nil, Within(Key(name), err)
		}
		if len(m) == known {
			if known, err = d.growMap(known, stringType, anyType); err != nil {
				return nil, err
			}
		}
		m[name] = x
	}
}

func (d *Decoder) entryValue(m *Frame) (any, error) {
	if err := d.R.Value(m); err != nil {
		return nil, err
	}
	return d.dynamic()
}

// growMap charges for the growth of a map that has n entries and is about to
// get another, and returns up to how many entries that will do.
func (d *Decoder) growMap(n int, key, elem reflect.Type) (int, error) {
	n = max(mapGroup, 2*n)
	return n, d.ChargeMap(n, key, elem)
}

// dynamicAnyMap decodes the rest of a map, from the key that has been read and is
// not text. Its entries so far are in m.
func (d *Decoder) dynamicAnyMap(t *Frame, m map[string]any) (any, error) {
	known := len(m) + 1 + max(t.Len, 0) // t.Len may be what is left, or all
	if err := d.ChargeMap(known, anyType, anyType); err != nil {
		return nil, err
	}
	all := make(map[any]any, known)
	for name, x := range m {
		all[name] = x
	}
	for {
		kk, err := d.dynamicKey(&d.tok)
		if err != nil {
			return nil, err
		}
		if _, twice := all[kk]; twice {
			return nil, Within(Index(kk), cannot("a key that the map already has"))
		}
		x, err := d.entryValue(t)
		if err != nil {
			return nil, Within(Index(kk), err)
		}
		if len(all) == known {
			if known, err = d.growMap(known, anyType, anyType); err != nil {
				return nil, err
			}
		}
		all[kk] = x
		more, err := d.R.More(t)
		if err != nil || !more {
			return all, err
		}
		if err := d.R.Key(t, &d.tok); err != nil {
			return nil, err
		}
	}
}

// dynamicKey returns what stands for k as a key.
func (d *Decoder) dynamicKey(k *Token) (any, error) {
	switch {
	case k.Kind == Bytes:
		if err := d.Charge(boxCost); err != nil {
			return nil, err
		}
		s, err := d.text(k)
		return value.Bytes(s), err
	case k.Kind.Scalar():
		return d.dynamicToken(k)
	default:
		return nil, mismatch("a scalar as a map key", k)
	}
}
