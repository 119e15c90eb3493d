package msgpackwire

// The first bytes of values. Codes in a row differ in the size that they stand
// for, by a factor of two.
const (
	codeFixMap    = 0x80 // to 0x8f
	codeFixArray  = 0x90 // to 0x9f
	codeFixStr    = 0xa0 // to 0xbf
	codeNil       = 0xc0
	codeNever     = 0xc1
	codeFalse     = 0xc2
	codeTrue      = 0xc3
	codeBin8      = 0xc4
	codeBin16     = 0xc5
	codeBin32     = 0xc6
	codeExt8      = 0xc7
	codeExt16     = 0xc8
	codeExt32     = 0xc9
	codeFloat32   = 0xca
	codeFloat64   = 0xcb
	codeUint8     = 0xcc
	codeUint16    = 0xcd
	codeUint32    = 0xce
	codeUint64    = 0xcf
	codeInt8      = 0xd0
	codeInt16     = 0xd1
	codeInt32     = 0xd2
	codeInt64     = 0xd3
	codeFixExt1   = 0xd4
	codeFixExt2   = 0xd5
	codeFixExt4   = 0xd6
	codeFixExt8   = 0xd7
	codeFixExt16  = 0xd8
	codeStr8      = 0xd9
	codeStr16     = 0xda
	codeStr32     = 0xdb
	codeArray16   = 0xdc
	codeArray32   = 0xdd
	codeMap16     = 0xde
	codeMap32     = 0xdf
	codeNegFixInt = 0xe0 // to 0xff
)

// The types of extensions. The first is msgpack's own; the others are carp's.
const (
	extTime     = -1
	extDate     = 1 // text, 2006-01-02
	extDateTime = 2 // text, 2006-01-02T15:04:05.999999999
	extRef      = 3 // an array of three strings: class, id, host
	extNamed    = 4 // a string and, right after it, any value
)

// What time.Time can hold without its own arithmetic overflowing is less than
// what a timestamp can say. These are the seconds of the years -290,000,000 and
// 290,000,000, about.
const (
	minSeconds = -9.1e15
	maxSeconds = 9.1e15
)
