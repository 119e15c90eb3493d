package engine

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/carp-rpc/carp-go/codecs/value"
)

// Kind is the kind of a value on the wire.
type Kind uint8

// The kinds of the value model.
const (
	Invalid Kind = iota
	Null
	Bool
	Int  // fits int64
	Uint // above the largest int64
	Float
	BigInt // above the largest uint64, as if it were a Float; no kind of the model
	String
	Bytes
	Time
	Date
	DateTime
	Ref
	Named
	List
	Map
)

var kindNames = [...]string{
	Invalid: "nothing", Null: "null", Bool: "bool", Int: "integer", Uint: "integer", Float: "float", BigInt: "integer",
	String: "string", Bytes: "bytes", Time: "time", Date: "date", DateTime: "datetime",
	Ref: "object reference", Named: "named type", List: "list", Map: "map",
}

// String returns the kind as error texts name it.
func (k Kind) String() string { return kindNames[k] }

// Scalar reports whether values of this kind may be map keys.
func (k Kind) Scalar() bool { return k >= Null && k <= DateTime }

// Token is a scalar, or the beginning of something larger. It belongs to its
// reader's caller, who reuses it.
type Token struct {
	Frame

	// TextOnly marks a String key of a format that has no other keys.
	TextOnly bool

	// Data is the contents of a String or Bytes, or the name of a Named. It is
	// valid until the reader is used again.
	Data []byte

	// Ref is the contents of a Ref.
	Ref *value.Ref
}

// Frame is what remains of a token while the List, Map or Named that it begins is
// being read. It has no pointers, so that copying one is cheap.
type Frame struct {
	Kind Kind

	// Num is a Bool as 0 or 1, an Int in two's complement, a Uint, the bits of
	// a Float, or the Unix seconds of a Time, Date or DateTime (as if in UTC).
	Num uint64

	// Len is the number of elements of a List or Map, or -1 if the format
	// does not say; the nanoseconds of a Time or DateTime.
	Len int

	// Flags, Start and End are the reader's own, and so is Num in a List, Map
	// or Named.
	Flags      uint8
	Start, End int
}

// Int64 returns the number of an Int.
func (t *Token) Int64() int64 { return int64(t.Num) }

// Float64 returns the number of a Float.
func (t *Token) Float64() float64 { return math.Float64frombits(t.Num) }

// GoTime returns the instant of a Time, or that which a clock in UTC shows for a
// Date or DateTime.
func (t *Token) GoTime() time.Time { return time.Unix(int64(t.Num), int64(t.Len)).UTC() }

// SetInt makes t an Int.
func (t *Token) SetInt(i int64) { t.Kind, t.Num = Int, uint64(i) }

// SetUint makes t an Int if u fits one, else a Uint.
func (t *Token) SetUint(u uint64) {
	t.Kind, t.Num = Int, u
	if u > math.MaxInt64 {
		t.Kind = Uint
	}
}

// SetFloat makes t a Float.
func (t *Token) SetFloat(f float64) { t.Kind, t.Num = Float, math.Float64bits(f) }

// SetTime makes t a Time, Date or DateTime.
func (t *Token) SetTime(kind Kind, at time.Time) {
	t.Kind, t.Num, t.Len = kind, uint64(at.Unix()), at.Nanosecond()
}

// describe says what t is, for an error text. It quotes numbers and never
// texts, which may be long or secret.
func (t *Token) describe() string {
	switch t.Kind {
	case Bool:
		return strconv.FormatBool(t.Num != 0)
	case Int:
		return strconv.FormatInt(t.Int64(), 10)
	case Uint:
		return strconv.FormatUint(t.Num, 10)
	case BigInt:
		return strconv.FormatFloat(t.Float64(), 'f', -1, 64)
	case Float:
		return "float " + strconv.FormatFloat(t.Float64(), 'g', -1, 64)
	case Named:
		return fmt.Sprintf("named type %.64q", t.Data)
	default:
		return t.Kind.String()
	}
}

// Reader reads one value token by token. Its methods return an error, never
// panic, on any input, and never report a List, Map, String or Bytes that is
// longer than the input that is left.
type Reader interface {
	// Next reads the token at the current position: a whole scalar, or the
	// beginning of a List (follow with More), Map (More, Key, Value) or Named
	// (Next for the value proper, then Close).
	Next(t *Token) error

	// More reports whether list or map f has another element, and if so moves
	// to it. Called once before each, and once more at the end.
	More(f *Frame) (bool, error)

	// Key reads the key of map m's next entry into k.
	Key(m *Frame, k *Token) error

	// Value moves from the key to the value of map m's entry.
	Value(m *Frame) error

	// Close moves behind a Named.
	Close(f *Frame) error

	// Skip moves behind the next value, of which nothing but the shape has been
	// checked.
	Skip() error

	// Null moves behind a null if one is next, else it does nothing.
	Null() bool

	// Pos returns the current position, to come back to with Seek. In
	// formats that are plain sequences it is an offset into the input.
	Pos() Pos
	Seek(Pos)
}

// Pos is a position of a Reader.
type Pos struct{ At, End int }

// Writer writes one value token by token. What it returns an error for is what
// the format can't carry.
type Writer interface {
	Null()
	Bool(b bool)
	Int(i int64)
	Uint(u uint64)
	Float32(f float32) error
	Float64(f float64) error
	String(s string) error // s is valid UTF-8
	Bytes(b []byte)
	Time(t time.Time) error
	Date(d value.Date)         // d is valid
	DateTime(d value.DateTime) // d is valid
	Ref(r value.Ref)

	// A list of n elements: ListBegin, then ListItem and a value n times, then
	// ListEnd.
	ListBegin(n int)
	ListItem(i int)
	ListEnd()

	// A map of n entries whose keys are all text (valid UTF-8), if text is
	// true: MapBegin, then TextKey and a value n times, then MapEnd. Else,
	// MapBegin, then MapKey, a scalar, MapValue and a value n times, MapEnd.
	MapBegin(n int, text bool)
	TextKey(i int, key string) error
	MapKey(i int)
	MapValue()
	MapEnd()

	// A named value: NamedBegin, a value, NamedEnd.
	NamedBegin(name string) error
	NamedEnd()
}
