// Package greeterpb is the generated code of the Greeter that the examples serve.
package greeterpb

//go:generate go run -C ../../internal/tools/protogen . -root ../../.. examples/greeterpb/greeter.proto
