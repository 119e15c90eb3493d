package value

import (
	"fmt"
	"time"
)

// Date is a calendar date without a time of day or a zone, as Python's
// datetime.date. The zero Date is not a valid date and is refused by every
// codec. Dates are comparable with ==.
type Date struct {
	Year  int        // 1 to 9999
	Month time.Month // 1 to 12
	Day   int        // 1 to the length of the month
}

// DateOf returns the date that a calendar in t's location shows at t.
func DateOf(t time.Time) Date {
	year, month, day := t.Date()
	return Date{year, month, day}
}

// Valid reports whether d is a date of the years 1 to 9999.
func (d Date) Valid() bool {
	return d.Year >= 1 && d.Year <= 9999 && DateOf(d.In(time.UTC)) == d
}

// In returns the instant at which d begins in loc.
func (d Date) In(loc *time.Location) time.Time {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, loc)
}

// String returns d as 2006-01-02.
func (d Date) String() string {
	return fmt.Sprintf("%04d-%02d-%02d", d.Year, int(d.Month), d.Day)
}

// ParseDate is the inverse of [Date.String]. It accepts nothing else.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || len(s) != len(time.DateOnly) || t.Year() < 1 {
		return Date{}, fmt.Errorf("%q is not a date of the form 2006-01-02", s)
	}
	return DateOf(t), nil
}

// DateTime is a calendar date and a time of day without a zone, as Python's
// naive datetime. It is not an instant: use time.Time for those. The zero
// DateTime is not valid and is refused by every codec. DateTimes are
// comparable with ==.
type DateTime struct {
	Date
	Hour       int // 0 to 23
	Minute     int // 0 to 59
	Second     int // 0 to 59
	Nanosecond int // 0 to 999,999,999
}

// DateTimeOf returns what a calendar and a clock in t's location show at t.
func DateTimeOf(t time.Time) DateTime {
	hour, minute, second := t.Clock()
	return DateTime{DateOf(t), hour, minute, second, t.Nanosecond()}
}

// Valid reports whether d is a date and time of the years 1 to 9999.
func (d DateTime) Valid() bool {
	return d.Date.Valid() && DateTimeOf(d.In(time.UTC)) == d
}

// In returns the instant at which a clock in loc shows d. Where the clock skips
// or repeats d, it chooses as [time.Date] does.
func (d DateTime) In(loc *time.Location) time.Time {
	return time.Date(d.Year, d.Month, d.Day, d.Hour, d.Minute, d.Second, d.Nanosecond, loc)
}

// dateTimeLayout has as many fraction digits as are needed, none for .0.
const dateTimeLayout = "2006-01-02T15:04:05.999999999"

// String returns d as 2006-01-02T15:04:05.999999999, with as many fraction
// digits as are needed.
func (d DateTime) String() string {
	if !d.Valid() {
		return fmt.Sprintf("%vT%02d:%02d:%02d.%09d", d.Date, d.Hour, d.Minute, d.Second, d.Nanosecond)
	}
	return d.In(time.UTC).Format(dateTimeLayout)
}

// ParseDateTime is the inverse of [DateTime.String]. The fraction may have any
// number of digits up to nine.
func ParseDateTime(s string) (DateTime, error) {
	t, err := time.Parse(dateTimeLayout, s)
	if err != nil || len(s) > len(dateTimeLayout) || t.Year() < 1 {
		return DateTime{}, fmt.Errorf("%q is not a date and time of the form 2006-01-02T15:04:05", s)
	}
	return DateTimeOf(t), nil
}

// Bytes is binary data as the key of a map, which a []byte can't be. A decoder
// uses it for such keys in a map[any]any; everywhere else bytes are []byte.
// Encoders write it as bytes.
type Bytes string

// Ref refers to an object that lives in one host.
type Ref struct {
	// Class is the name under which the object's class is exported. Empty for
	// a callback.
	Class string
	// ID is the object's id, valid only on the link or session on which it
	// was sent. Never empty.
	ID string
	// Host is the id of the host in which the object lives. Empty means the
	// host that sent the message.
	Host string
}

// Named is a value that carries the name of its type. Decoders make one for
// every named value that arrives where a dynamic value is wanted.
type Named struct {
	// Name is what both ends call the type. Never empty.
	Name string
	// Value is the value proper. Never a Named itself.
	Value any
}
