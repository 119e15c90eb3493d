package dialer

// MaxRefusals bounds the refused clients that are answered at a time.
const MaxRefusals = maxRefusals
