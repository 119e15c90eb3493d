package codectest_test

import (
	"testing"

	"github.com/carp-rpc/carp-go/codecs/codectest"
)

func TestMsgpack(t *testing.T) { codectest.Run(t, msgpackCodec) }
func TestJSON(t *testing.T)    { codectest.Run(t, jsonCodec) }
func TestCarp(t *testing.T)    { codectest.Run(t, carpCodec) }
