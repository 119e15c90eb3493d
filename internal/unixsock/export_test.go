package unixsock

// Settle is how old a refused socket file must be to be removed.
const Settle = settle
