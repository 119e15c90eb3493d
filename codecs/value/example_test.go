package value_test

import (
	"fmt"

	"github.com/carp-rpc/carp-go/codecs/json"
	"github.com/carp-rpc/carp-go/codecs/msgpack"
	"github.com/carp-rpc/carp-go/codecs/value"
)

// Money is "12.50 EUR" on the wire, in every codec.
type Money struct {
	cents    int
	currency string
}

// EncodeValue implements value.Encoder.
func (m Money) EncodeValue() (any, error) {
	return fmt.Sprintf("%d.%02d %s", m.cents/100, m.cents%100, m.currency), nil
}

// DecodeValue implements value.Decoder.
func (m *Money) DecodeValue(decode func(any) error) error {
	var text string
	if err := decode(&text); err != nil {
		return err
	}
	var euros, cents int
	if _, err := fmt.Sscanf(text, "%d.%d %s", &euros, &cents, &m.currency); err != nil {
		return fmt.Errorf("%q is no amount of money", text)
	}
	m.cents = 100*euros + cents
	return nil
}

// A type controls its own form with a pair of methods.
func Example_hooks() {
	prices := map[string]Money{"tea": {250, "EUR"}}
	text, _ := json.Marshal(prices)
	fmt.Println(string(text))

	data, _ := msgpack.Marshal(prices)
	var back map[string]Money
	fmt.Println(msgpack.Unmarshal(data, &back), back["tea"].cents)

	data, _ = msgpack.Marshal(map[string]any{"tea": 2.5})
	fmt.Println(msgpack.Unmarshal(data, &back))
	// Output:
	// {"tea":"2.50 EUR"}
	// <nil> 250
	// msgpack: unmarshal into *map[string]value_test.Money: tea: want string, got float 2.5
}

// What has no Go type of its own is dynamic: decoded into an any.
func Example_dynamic() {
	data, _ := json.Marshal([]any{
		uint64(1<<64 - 1), []byte("bytes"), value.Date{Year: 2024, Month: 2, Day: 29},
		value.Named{Name: "shapes.Circle", Value: map[string]any{"radius": 1.5}},
	})
	fmt.Println(string(data))
	var back []any
	if err := json.Unmarshal(data, &back); err != nil {
		fmt.Println(err)
	}
	for _, x := range back {
		fmt.Printf("%T %v\n", x, x)
	}
	// Output:
	// [18446744073709551615,{"$bytes":"Ynl0ZXM="},{"$date":"2024-02-29"},{"$type":"shapes.Circle","$value":{"radius":1.5}}]
	// uint64 18446744073709551615
	// []uint8 [98 121 116 101 115]
	// value.Date 2024-02-29
	// value.Named {shapes.Circle map[radius:1.5]}
}
