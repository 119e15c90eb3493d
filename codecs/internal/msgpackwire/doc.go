// Package msgpackwire is the codec that package codecs/msgpack registers. It is here so that
// others can use it without registering it.
package msgpackwire
