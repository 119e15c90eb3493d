package value

// Encoder is implemented by types that control their own wire form, in every
// codec.
//
// EncodeValue returns what is encoded in the receiver's place: any value that
// the codecs know, for example a struct, a map, or a [Named] to make the type
// recognisable at the other end. It is called on a nil pointer only if the
// method has a pointer receiver and the pointer itself was given to the codec
// as an interface or element; return nil to encode null.
type Encoder interface {
	EncodeValue() (any, error)
}

// Decoder is implemented by pointers to types that control their own wire form,
// in every codec. It is the other half of [Encoder].
//
// DecodeValue calls decode with a pointer to whatever form it wants, as often as
// it likes, to try several. A pointer to an any gives the dynamic form, and a
// pointer to a [Named] the type's name. The receiver's former value may be
// overwritten. decode must not be used after DecodeValue has returned. If
// DecodeValue never calls it, the value is skipped.
//
// DecodeValue is not called for null if the Go value is a pointer: the pointer
// becomes nil.
type Decoder interface {
	DecodeValue(decode func(into any) error) error
}
