package main

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/carp-rpc/carp-go/examples/greeterpb"
	"github.com/carp-rpc/carp-go/host"
)

// compare measures every transport with every codec, beside plain grpc-go over a
// unix socket, and prints the table.
func compare(ctx context.Context, out io.Writer, socket string, callers []*caller, calls int) error {
	plain, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer plain.Close()
	baseline := greetRow("unix, grpc-go", greeterpb.NewGreeterClient(plain))
	var rows []*row
	for _, c := range callers {
		rows = append(rows, greetRow(c.transport, c.greeter))
		for _, codec := range []string{"proto", "msgpack", "json", "carp"} {
			r, err := addRow(ctx, c, codec)
			if err != nil {
				return err
			}
			rows = append(rows, r)
		}
	}
	if err := measure(ctx, append([]*row{baseline}, rows...), calls); err != nil {
		return err
	}
	printTable(out, baseline, rows)
	return nil
}

func greetRow(transport string, greeter greeterpb.GreeterClient) *row {
	req := &greeterpb.GreetRequest{Name: "Ada"}
	return &row{
		transport: transport, codec: "proto", method: "Greeter.Greet",
		call: func(ctx context.Context) error {
			_, err := greeter.Greet(ctx, req)
			return err
		},
	}
}

func addRow(ctx context.Context, c *caller, codec string) (*row, error) {
	add, err := host.Require[func(context.Context, int, int) (int, error)](ctx, c.host, "Calculator.Add", host.WithCodec(codec))
	if err != nil {
		return nil, err
	}
	return &row{
		transport: c.transport, codec: codec, method: "Calculator.Add",
		call: func(ctx context.Context) error {
			sum, err := add(ctx, 2, 3)
			if err == nil && sum != 5 {
				err = fmt.Errorf("2 + 3 = %d", sum)
			}
			return err
		},
	}, nil
}
