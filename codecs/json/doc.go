// Package json is carp's codec for everyone who has JSON and nothing else, and for
// reading traffic by eye. Importing it registers the content-subtype "json" with
// grpc, unless another codec of that name is there; see [Registered]. A program that
// calls with grpc.CallContentSubtype("json") through stubs of its own must import it
// itself, for its effect if for nothing else: importing package host or carpgrpc
// registers no codec.
//
//	data, err := json.Marshal(map[string]any{"a": 1, "b": []byte("x")})
//	var v any
//	err = json.Unmarshal(data, &v)
//
// # Values
//
// The value model, and how Go types follow it, is that of package codecs/value.
// What JSON has no form for is an object with one key that begins with "$":
//
//	{"$bytes": "aGVsbG8="}                         binary data, base64
//	{"$time": "2006-01-02T15:04:05.999999999Z"}    an instant, RFC 3339
//	{"$date": "2006-01-02"}                        a date
//	{"$datetime": "2006-01-02T15:04:05.999999999"} a date and time without zone
//	{"$map": [[1, "one"], [2, "two"]]}             a map with keys other than text
//	{"$ref": {"class": "", "id": "", "host": ""}}  an object reference
//	{"$type": "name", "$value": 1}                 a value of a named type
//
// In an ordinary object, a key that begins with "$" is written with two.
//
// A number without fraction and exponent is an integer, every other one floating
// point, and each is read exactly as what it is: 9007199254740993 does not lose
// its last digit. Infinities, NaN, and instants outside of the years 1 to 9999
// can't be encoded. An integer beyond 64 bits, such as JavaScript writes for
// 1e20, is read where floating point is wanted and refused where anything may
// come. A map whose keys are integers can be read from an object whose keys are
// the digits.
//
// A protobuf message is its ProtoJSON form, wherever it stands. It has no meaning
// for "$" keys, and should not be decoded into an any.
//
// # Not encoding/json
//
// encoding/json checks the grammar of all that is decoded here, but it is not what
// decodes it. It would turn integers in an any into float64, half of a surrogate
// pair into U+FFFD, and the later of two equal keys into the only one. Of its
// conventions, struct tags (name, omitempty, omitzero, "-") and TextMarshaler are
// followed; json.Marshaler, json.Number, json.RawMessage and the option "string"
// have no meaning here.
//
// # Arguments
//
// [Codec] also reads and writes the bodies of calls, for a host: positional
// arguments are an array, named ones an object, both together an object with an
// entry "*" for the array. See package codecs/args.
//
// # Data from a peer
//
// Everything is checked before it is decoded; see [Check]. What is decoded never
// takes more than 64 times the memory that the data has, or 64 KiB. Protobuf
// messages are an exception: protojson decodes them, and bounds only their depth.
package json
