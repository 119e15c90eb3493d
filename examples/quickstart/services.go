package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/carp-rpc/carp-go/examples/greeterpb"
)

// Calculator is exported as it is: any method with parameters and results that
// have a form on the wire can be called.
type Calculator struct {
	// waiting is told of each call of Wait.
	waiting func()
}

// Add returns the sum.
func (*Calculator) Add(a, b int) int { return a + b }

// Div returns the quotient. Its error travels to the caller.
func (*Calculator) Div(a, b float64) (float64, error) {
	if b == 0 {
		return 0, errors.New("division by zero")
	}
	return a / b, nil
}

// Wait returns when the caller has lost its patience.
func (c *Calculator) Wait(ctx context.Context) error {
	c.waiting()
	<-ctx.Done()
	return ctx.Err()
}

// greeter implements the service generated from greeter.proto.
type greeter struct {
	greeterpb.UnimplementedGreeterServer
}

func (greeter) Greet(_ context.Context, req *greeterpb.GreetRequest) (*greeterpb.GreetReply, error) {
	if req.GetName() == "" {
		return nil, status.Error(codes.InvalidArgument, "whom shall I greet? name is empty")
	}
	return &greeterpb.GreetReply{Text: fmt.Sprintf("Hello, %s!", req.GetName())}, nil
}

func (g greeter) GreetAll(stream grpc.BidiStreamingServer[greeterpb.GreetRequest, greeterpb.GreetReply]) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		reply, err := g.Greet(stream.Context(), req)
		if err != nil {
			return err
		}
		if err := stream.Send(reply); err != nil {
			return err
		}
	}
}
