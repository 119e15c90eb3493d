package jsonwire

import (
	"fmt"
	"math/big"
	"strconv"

	"github.com/carp-rpc/carp-go/codecs/internal/engine"
)

// number reads a number: an integer if it is written without fraction and
// exponent, else floating point.
func (r *reader) number(t *engine.Token) error {
	start := r.pos
	integer := true
	for r.pos < len(r.data) {
		c := r.data[r.pos]
		if c == '.' || c == 'e' || c == 'E' {
			integer = false
		} else if c != '-' && c != '+' && (c < '0' || c > '9') {
			break
		}
		r.pos++
	}
	text := r.data[start:r.pos]
	switch {
	case r.plain:
		t.SetInt(0)
		return nil
	case integer:
		return setInteger(t, text)
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return numberError(text, err)
	}
	t.SetFloat(f)
	return nil
}

func setInteger(t *engine.Token, text []byte) error {
	if len(text) < 19 { // can't overflow
		if i, ok := shortInteger(text); ok {
			t.SetInt(i)
			return nil
		}
	}
	if i, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		t.SetInt(i)
		return nil
	}
	u, err := strconv.ParseUint(string(text), 10, 64)
	if err == nil {
		t.SetUint(u)
		return nil
	}
	return setBig(t, text, err)
}

// shortInteger is strconv.ParseInt for what needs no test for overflow.
func shortInteger(text []byte) (i int64, ok bool) {
	digits := text
	if len(text) > 0 && text[0] == '-' {
		digits = text[1:]
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		i = 10*i + int64(c-'0')
	}
	if len(digits) < len(text) {
		i = -i
	}
	return i, len(digits) > 0
}

// maxDigits is more digits than the largest float64 has.
const maxDigits = 320

// setBig reads an integer that is larger than 2^64-1. JavaScript writes floating
// point that way, up to 1e21, so it may be floating point if nothing is lost.
func setBig(t *engine.Token, text []byte, cause error) error {
	if len(text) <= maxDigits {
		if i, ok := new(big.Int).SetString(string(text), 10); ok {
			if f, accuracy := new(big.Float).SetInt(i).Float64(); accuracy == big.Exact {
				t.SetFloat(f)
				t.Kind = engine.BigInt
				return nil
			}
		}
	}
	return numberError(text, cause)
}

func numberError(text []byte, err error) error {
	if n, ok := err.(*strconv.NumError); ok { //nolint:errorlint // documented to be this type
		err = n.Err
	}
	return fmt.Errorf("number %.64s: %w", text, err)
}
