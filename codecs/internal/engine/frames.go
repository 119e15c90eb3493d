package engine

// tokens is where the tokens of a value are while it is being read. They are
// given to the methods of an interface, so variables of a function would be
// allocated one by one.
//
// There is one token for what has just been read, and a frame for every list, map
// or named value that is being read: the token that it began with.
type tokens struct {
	tok    Token
	frames []Token
}

// open makes a frame of tok. The frame stays where it is when others are opened,
// even if the slice has to move.
func (s *tokens) open() *Token {
	s.frames = append(s.frames, s.tok)
	return &s.frames[len(s.frames)-1]
}

// close drops the newest frame.
func (s *tokens) close() { s.frames = s.frames[:len(s.frames)-1] }

// maxFrames is how many frames are kept for the next use.
const maxFrames = 16

// reset drops all frames, and with them what they hold of the input.
func (s *tokens) reset() {
	if cap(s.frames) > maxFrames {
		s.frames = nil
	}
	clear(s.frames[:cap(s.frames)])
	s.frames = s.frames[:0]
	s.tok = Token{}
}
