package jsonwire

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape reads the string that begins at start and has its first escape at i.
func (r *reader) unescape(start, i int) ([]byte, error) {
	buf := append(r.unescaped[:0], r.data[start:i]...)
	defer func() { r.unescaped = buf[:0] }()
	for i < len(r.data) {
		c := r.data[i]
		i++
		switch c {
		case '"':
			r.pos = i
			return r.valid(buf, start)
		case '\\':
			char, size, err := escape(r.data[i:])
			if err != nil {
				return nil, fmt.Errorf("in a string at offset %d: %w", start, err)
			}
			buf = utf8.AppendRune(buf, char)
			i += size
		default:
			buf = append(buf, c)
		}
	}
	r.pos = len(r.data)
	return nil, r.unexpected("the end of a string")
}

// escape reads what follows a backslash: the character and how long its escape
// was.
func escape(s []byte) (char rune, size int, err error) {
	if len(s) == 0 {
		return 0, 0, fmt.Errorf("nothing after a backslash")
	}
	switch s[0] {
	case '"', '\\', '/':
		return rune(s[0]), 1, nil
	case 'b':
		return '\b', 1, nil
	case 'f':
		return '\f', 1, nil
	case 'n':
		return '\n', 1, nil
	case 'r':
		return '\r', 1, nil
	case 't':
		return '\t', 1, nil
	case 'u':
		return unicodeEscape(s)
	default:
		return 0, 0, fmt.Errorf("unknown escape \\%c", s[0])
	}
}

// unicodeEscape reads u and four hexadecimal digits, or two escapes that are a surrogate pair. One half
// of a pair is no text, and is refused instead of being replaced.
func unicodeEscape(s []byte) (char rune, size int, err error) {
	char, ok := hex4(s)
	if !ok {
		return 0, 0, fmt.Errorf("\\u without four digits")
	}
	if !utf16.IsSurrogate(char) {
		return char, 5, nil
	}
	if len(s) > 6 && s[5] == '\\' {
		if second, ok := hex4(s[6:]); ok {
			char = utf16.DecodeRune(char, second)
			if char != utf8.RuneError {
				return char, 11, nil
			}
		}
	}
	return 0, 0, fmt.Errorf("half of a surrogate pair, which is not valid text")
}

// hex4 reads u and four hexadecimal digits.
func hex4(s []byte) (rune, bool) {
	if len(s) < 5 || s[0] != 'u' {
		return 0, false
	}
	u, err := strconv.ParseUint(string(s[1:5]), 16, 16)
	return rune(u), err == nil
}
