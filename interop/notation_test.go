package interop_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// notation is a value as testdata/README.md writes them.
type notation struct {
	scalar any
	kind   string
	arg    json.RawMessage
	times  int
	deep   int
}

func (n *notation) UnmarshalJSON(data []byte) error {
	if data[0] != '{' {
		return json.Unmarshal(data, &n.scalar)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	n.times = 1
	for key, arg := range fields {
		switch key {
		case "times":
			n.times, _ = strconv.Atoi(string(arg))
		case "deep":
			n.deep, _ = strconv.Atoi(string(arg))
		default:
			n.kind, n.arg = key, arg
		}
	}
	return nil
}

// oneSpelling reports whether encoders have no choice: of an order of keys, of
// how to spell a number in JSON, of the bits of a NaN, of the size of a length.
func (n *notation) oneSpelling(codec string) bool {
	switch {
	case codec == "json", n.kind == "ref", n.kind == "named", string(n.arg) == `"nan"`:
		return false
	}
	var pairs []any
	if n.kind == "map" {
		_ = json.Unmarshal(n.arg, &pairs) // it is an array, or value fails
	}
	return len(pairs) < 2
}

// value is the Go value, of the types that codecs decode into an any.
func (n *notation) value() (any, error) {
	switch n.kind {
	case "":
		return n.scalar, nil
	case "list":
		return n.list()
	case "map":
		return n.mapping()
	case "ref":
		var parts [3]string
		err := json.Unmarshal(n.arg, &parts)
		return value.Ref{Class: parts[0], ID: parts[1], Host: parts[2]}, err
	case "named":
		return n.named()
	}
	var text string
	if err := json.Unmarshal(n.arg, &text); err != nil {
		return nil, err
	}
	return n.textual(text)
}

func (n *notation) textual(text string) (any, error) {
	switch n.kind {
	case "int":
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return i, nil
		}
		return strconv.ParseUint(text, 10, 64)
	case "float":
		return strconv.ParseFloat(text, 64)
	case "text":
		return strings.Repeat(text, n.times), nil
	case "bytes":
		return hex.DecodeString(strings.Repeat(text, n.times))
	case "broken":
		b, err := hex.DecodeString(text)
		return string(b), err
	case "instant", "zoned":
		return time.Parse(time.RFC3339Nano, text)
	case "date":
		return value.ParseDate(text)
	case "civil":
		return value.ParseDateTime(text)
	}
	return nil, fmt.Errorf("the notation has no kind %q", n.kind)
}

func (n *notation) list() (any, error) {
	var items []notation
	if err := json.Unmarshal(n.arg, &items); err != nil {
		return nil, err
	}
	list := []any{}
	for range n.times {
		for _, item := range items {
			v, err := item.value()
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
	}
	for range n.deep {
		list = []any{list}
	}
	return list, nil
}

// mapping is a map[string]any if all keys are text, else a map[any]any.
func (n *notation) mapping() (any, error) {
	var pairs [][2]notation
	if err := json.Unmarshal(n.arg, &pairs); err != nil {
		return nil, err
	}
	byText, byAny := map[string]any{}, map[any]any{}
	for _, pair := range pairs {
		k, err := pair[0].value()
		if err != nil {
			return nil, err
		}
		v, err := pair[1].value()
		if err != nil {
			return nil, err
		}
		switch k := k.(type) {
		case string:
			byText[k] = v
			byAny[k] = v
		case []byte:
			byAny[value.Bytes(k)] = v
		default:
			byAny[k] = v
		}
	}
	if len(byText) == len(byAny) {
		return byText, nil
	}
	return byAny, nil
}

func (n *notation) named() (any, error) {
	var parts [2]json.RawMessage
	if err := json.Unmarshal(n.arg, &parts); err != nil {
		return nil, err
	}
	var named value.Named
	if err := json.Unmarshal(parts[0], &named.Name); err != nil {
		return nil, err
	}
	var inner notation
	if err := inner.UnmarshalJSON(parts[1]); err != nil {
		return nil, err
	}
	var err error
	named.Value, err = inner.value()
	return named, err
}
