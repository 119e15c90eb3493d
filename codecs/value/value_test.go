package value_test

import (
	"errors"
	"testing"
	"time"

	"github.com/carp-rpc/carp-go/codecs/value"
)

func TestDate(t *testing.T) {
	for _, tc := range []struct {
		text string
		want value.Date // zero: refused
	}{
		{"2024-02-29", value.Date{Year: 2024, Month: 2, Day: 29}},
		{"0001-01-01", value.Date{Year: 1, Month: 1, Day: 1}},
		{"9999-12-31", value.Date{Year: 9999, Month: 12, Day: 31}},
		{"2023-02-29", value.Date{}},
		{"0000-01-01", value.Date{}},
		{"2023-13-01", value.Date{}},
		{"2023-1-1", value.Date{}},
		{"10000-01-01", value.Date{}},
		{"2023-01-01 ", value.Date{}},
		{"", value.Date{}},
	} {
		got, err := value.ParseDate(tc.text)
		if got != tc.want || (err == nil) != (tc.want != value.Date{}) {
			t.Errorf("ParseDate(%q) = %v, %v, want %v", tc.text, got, err, tc.want)
		}
		if got.Valid() != (err == nil) {
			t.Errorf("%v: Valid() = %v", got, got.Valid())
		}
		if err == nil && got.String() != tc.text {
			t.Errorf("String() = %q, want %q", got, tc.text)
		}
	}
	if (value.Date{Year: 10000, Month: 1, Day: 1}).Valid() || (value.Date{Year: 2024, Month: 2, Day: 30}).Valid() {
		t.Error("only days of the years 1 to 9999 are valid")
	}
}

func TestDateTime(t *testing.T) {
	date := value.Date{Year: 2024, Month: 2, Day: 29}
	for _, tc := range []struct {
		text string
		want value.DateTime // zero: refused
		back string         // if it is not text
	}{
		{"2024-02-29T00:00:00", value.DateTime{Date: date}, ""},
		{"2024-02-29T23:59:59.999999999", value.DateTime{Date: date, Hour: 23, Minute: 59, Second: 59, Nanosecond: 999999999}, ""},
		{"2024-02-29T01:02:03.5", value.DateTime{Date: date, Hour: 1, Minute: 2, Second: 3, Nanosecond: 500000000}, ""},
		{"2024-02-29T01:02:03.500", value.DateTime{Date: date, Hour: 1, Minute: 2, Second: 3, Nanosecond: 500000000}, "2024-02-29T01:02:03.5"},
		{"2024-02-29T24:00:00", value.DateTime{}, ""},
		{"2024-02-29T23:59:60", value.DateTime{}, ""},
		{"2024-02-29T01:02:03.1234567890", value.DateTime{}, ""},
		{"2024-02-29T01:02:03Z", value.DateTime{}, ""},
		{"2024-02-29T01:02", value.DateTime{}, ""},
		{"2024-02-29 01:02:03", value.DateTime{}, ""},
	} {
		got, err := value.ParseDateTime(tc.text)
		if got != tc.want || (err == nil) != (tc.want != value.DateTime{}) {
			t.Errorf("ParseDateTime(%q) = %v, %v, want %v", tc.text, got, err, tc.want)
		}
		if got.Valid() != (err == nil) {
			t.Errorf("%v: Valid() = %v", got, got.Valid())
		}
		if tc.back == "" {
			tc.back = tc.text
		}
		if err == nil && got.String() != tc.back {
			t.Errorf("String() = %q, want %q", got, tc.back)
		}
	}
	if (value.DateTime{Date: date, Nanosecond: 1e9}).Valid() || (value.DateTime{Date: date, Minute: -1}).Valid() {
		t.Error("only times that a clock shows are valid")
	}
}

func TestInstants(t *testing.T) {
	zone := time.FixedZone("", 3600)
	at := time.Date(2024, 2, 29, 0, 30, 0, 1, zone)
	d := value.DateTimeOf(at)
	if want := (value.DateTime{Date: value.Date{Year: 2024, Month: 2, Day: 29}, Minute: 30, Nanosecond: 1}); d != want || value.DateOf(at) != want.Date {
		t.Errorf("%v is what a clock in the zone shows, want %v", d, want)
	}
	if !d.In(zone).Equal(at) || d.In(time.UTC).Equal(at) {
		t.Errorf("%v in the zone is %v, want %v", d, d.In(zone), at)
	}
}

func TestError(t *testing.T) {
	cause := errors.New("cause")
	for _, tc := range []struct {
		err  value.Error
		want string
	}{
		{value.Error{Want: "int8", Got: "300"}, "want int8, got 300"},
		{value.Error{Path: ".a[1]", Want: "int8", Got: "300"}, "a[1]: want int8, got 300"},
		{value.Error{Path: "[1].a", Got: "a channel"}, "[1].a: a channel"},
		{value.Error{Want: "T", Got: "string", Err: cause}, "want T, got string: cause"},
		{value.Error{Path: ".a", Err: cause}, "a: cause"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
	if !errors.Is(&value.Error{Err: cause}, cause) {
		t.Error("the cause can be found")
	}
}
