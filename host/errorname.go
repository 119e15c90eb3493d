package host

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
)

// registered are errors with names that hosts agree on.
var registered struct {
	mu     sync.RWMutex
	names  map[error]string
	errors []error // in the order of registration
}

// RegisterError gives an error a name by which other hosts know it:
//
//	var ErrOutOfStock = errors.New("out of stock")
//
//	func init() { host.RegisterError("shop.OutOfStock", ErrOutOfStock) }
//
// If a function returns it, or an error that wraps it, its callers see the name as
// [Error.Exception]; and where an error is registered under the name of a remote
// one, errors.Is with it is true for that. The name may be that of another
// language's type: "ValueError".
//
// It is meant for init functions and holds for all hosts in the process. It panics
// if the name is empty, or the error nil, not comparable, or registered under
// another name. Of several errors of one name, errors.Is is true for each. Of several
// registered errors that an error wraps, the first registered names it.
func RegisterError(name string, err error) {
	if name == "" || err == nil || !reflect.TypeOf(err).Comparable() {
		panic(fmt.Sprintf("host: RegisterError(%q, %v): it takes a name, and an error that can be compared", name, err)) //nolint:forbidigo // a fault of the program, as in gob.Register
	}
	registered.mu.Lock()
	defer registered.mu.Unlock()
	switch known := registered.names[err]; known {
	case name:
		return
	case "":
	default:
		panic(fmt.Sprintf("host: RegisterError(%q, %v): the error has the name %q", name, err, known)) //nolint:forbidigo // as above
	}
	if registered.names == nil {
		registered.names = make(map[error]string)
	}
	registered.names[err] = name
	registered.errors = append(registered.errors, err)
}

// registeredName is the name of the error itself, or "".
func registeredName(err error) string {
	registered.mu.RLock()
	defer registered.mu.RUnlock()
	if len(registered.names) == 0 || err == nil || !reflect.TypeOf(err).Comparable() {
		return ""
	}
	return registered.names[err]
}

// nameRegistered is the name of a registered error that err is or wraps, or "".
func nameRegistered(err error) string {
	registered.mu.RLock()
	all := registered.errors // only ever appended to
	registered.mu.RUnlock()
	for _, target := range all {
		if errors.Is(err, target) {
			return registeredName(target)
		}
	}
	return ""
}
