package engine

import (
	"math"
	"reflect"
	"strconv"
)

func encBool(e *Encoder, v reflect.Value) error    { e.W.Bool(v.Bool()); return nil }
func encInt(e *Encoder, v reflect.Value) error     { e.W.Int(v.Int()); return nil }
func encUint(e *Encoder, v reflect.Value) error    { e.W.Uint(v.Uint()); return nil }
func encFloat32(e *Encoder, v reflect.Value) error { return e.W.Float32(float32(v.Float())) }
func encFloat64(e *Encoder, v reflect.Value) error { return e.W.Float64(v.Float()) }
func encString(e *Encoder, v reflect.Value) error  { return e.string(v.String()) }

// scalar makes, from the rule for a token, the rule for the token that comes
// next.
func (d *Decoder) scalar(v reflect.Value, set func(*Decoder, *Token, reflect.Value) error) error {
	if err := d.R.Next(&d.tok); err != nil {
		return err
	}
	return set(d, &d.tok, v)
}

func decBool(d *Decoder, v reflect.Value) error   { return d.scalar(v, setBool) }
func decInt(d *Decoder, v reflect.Value) error    { return d.scalar(v, setInt) }
func decUint(d *Decoder, v reflect.Value) error   { return d.scalar(v, setUint) }
func decFloat(d *Decoder, v reflect.Value) error  { return d.scalar(v, setFloat) }
func decString(d *Decoder, v reflect.Value) error { return d.scalar(v, setString) }

func setBool(_ *Decoder, t *Token, v reflect.Value) error {
	if t.Kind != Bool {
		return mismatch(v.Type().String(), t)
	}
	v.SetBool(t.Num != 0)
	return nil
}

func setInt(_ *Decoder, t *Token, v reflect.Value) error {
	i, ok := t.exactInt()
	if !ok || v.OverflowInt(i) {
		return mismatch(v.Type().String(), t)
	}
	v.SetInt(i)
	return nil
}

func setUint(_ *Decoder, t *Token, v reflect.Value) error {
	u, ok := t.exactUint()
	if !ok || v.OverflowUint(u) {
		return mismatch(v.Type().String(), t)
	}
	v.SetUint(u)
	return nil
}

func setFloat(_ *Decoder, t *Token, v reflect.Value) error {
	f, ok := t.exactFloat()
	if !ok || v.Kind() == reflect.Float32 && float64(float32(f)) != f && f == f {
		return mismatch(v.Type().String(), t)
	}
	v.SetFloat(f)
	return nil
}

func setString(d *Decoder, t *Token, v reflect.Value) error {
	if t.Kind != String {
		return mismatch(v.Type().String(), t)
	}
	s, err := d.text(t)
	if err == nil {
		v.SetString(s)
	}
	return err
}

// exactInt returns the number that t is, if an int64 can hold it.
func (t *Token) exactInt() (int64, bool) {
	switch t.Kind {
	case Int:
		return t.Int64(), true
	case Float:
		f := t.Float64()
		// -2^63 is a float64, 2^63 is the first one too large. -0 is not 0.
		ok := f >= math.MinInt64 && f < -math.MinInt64 && f == math.Trunc(f) && !(f == 0 && math.Signbit(f))
		if ok {
			return int64(f), true
		}
	}
	return 0, false
}

// exactUint returns the number that t is, if a uint64 can hold it.
func (t *Token) exactUint() (uint64, bool) {
	switch t.Kind {
	case Int:
		return t.Num, t.Int64() >= 0
	case Uint:
		return t.Num, true
	case Float:
		f := t.Float64()
		if f >= -math.MinInt64 && f < 2*-math.MinInt64 { // all of them are whole
			return uint64(f), true
		}
		i, ok := t.exactInt()
		return uint64(i), ok && i >= 0
	}
	return 0, false
}

// exactFloat returns the number that t is, if a float64 can hold it. Conversion
// rounds to a float64 that may be just above what the integer type holds, where
// the way back is undefined: hence the look at the other end of it.
func (t *Token) exactFloat() (float64, bool) {
	switch t.Kind {
	case Float, BigInt:
		return t.Float64(), true
	case Int:
		f := float64(t.Int64())
		return f, f < -math.MinInt64 && int64(f) == t.Int64()
	case Uint:
		f := float64(t.Num)
		return f, f < 2*-math.MinInt64 && uint64(f) == t.Num
	}
	return 0, false
}

func keyBool(d *Decoder, t *Token, v reflect.Value) error   { return setBool(d, t, v) }
func keyFloat(d *Decoder, t *Token, v reflect.Value) error  { return setFloat(d, t, v) }
func keyString(d *Decoder, t *Token, v reflect.Value) error { return setString(d, t, v) }

// keyInt also accepts digits where a format has only text for keys, if they are
// the way in which strconv writes the number: then no two texts are one number.
func keyInt(d *Decoder, t *Token, v reflect.Value) error {
	if t.Kind == String && t.TextOnly {
		i, err := strconv.ParseInt(string(t.Data), 10, 64)
		if err == nil && strconv.FormatInt(i, 10) == string(t.Data) {
			t.SetInt(i)
		}
	}
	return setInt(d, t, v)
}

func keyUint(d *Decoder, t *Token, v reflect.Value) error {
	if t.Kind == String && t.TextOnly {
		u, err := strconv.ParseUint(string(t.Data), 10, 64)
		if err == nil && strconv.FormatUint(u, 10) == string(t.Data) {
			t.SetUint(u)
		}
	}
	return setUint(d, t, v)
}
