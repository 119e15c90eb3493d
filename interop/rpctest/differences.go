package rpctest

import "regexp"

// NotHTTP2 returns what is allowed to a stack that does not speak HTTP/2
// through grpc-go, each with its reason. Nothing is allowed to a stack by
// itself: the cases take down only what does not depend on addresses, on
// chance, or on the words in which a lost connection is described.
func NotHTTP2() Options {
	return Options{
		Differences: []Difference{
			{
				Cases: "stats/*",
				Match: regexp.MustCompile(`wire \d+`), Replace: "wire",
				Reason:    "the framing of a message has another size",
				Sometimes: true,
			},
			{
				Cases: "option/server's compressor", Lane: "server",
				Match: regexp.MustCompile(`^(supported|gzip|unknown): .*`), Replace: "$1",
				Reason: "grpc.SetSendCompressor and grpc.ClientSupportedCompressors find no stream but grpc-go's own",
			},
		},
		Skip: map[string]string{
			"codec/prepared message": "only grpc-go can look into a grpc.PreparedMsg",
		},
	}
}
