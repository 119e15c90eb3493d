// Package jsonwire is the codec that package codecs/json registers. It is here so that
// others can use it without registering it.
package jsonwire
