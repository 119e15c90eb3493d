package engine

// tokens is where the tokens of a value are while it is being read. They are
// given to the methods of an interface, so variables of a function would be
// allocated one by one.
//
// There is one token for what has just been read, and a frame for every list, map
// or named value that is being read.
type tokens struct {
	tok    Token
	frames []Frame
}

// open makes a frame for tok. The frame stays where it is when others are opened,
// even if the slice has to move.
func (s *tokens) open() *Frame {
	s.frames = append(s.frames, s.tok.Frame)
	return &s.frames[len(s.frames)-1]
}

// close drops the newest frame.
func (s *tokens) close() { s.frames = s.frames[:len(s.frames)-1] }

// maxFrames is how many frames are kept for the next use.
const maxFrames = 16

// reset drops all frames, and what the token holds of the input.
func (s *tokens) reset() {
	if cap(s.frames) > maxFrames {
		s.frames = nil
	}
	s.frames = s.frames[:0]
	s.tok = Token{}
}
