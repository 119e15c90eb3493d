// Package host exports, requires and calls services.
package host
