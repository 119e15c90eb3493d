package host

import (
	"fmt"
	"strings"

	"github.com/carp-rpc/carp-go/host/internal/bind"
)

// functionMethod is the method under which a bare function is called: f is
// /f/call.
const functionMethod = "call"

// splitName separates a name into service and method at the last dot. A name
// without a dot is a function's.
func splitName(name string) (service, method string) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return name, functionMethod
}

// splitPath separates "/Service/Method".
func splitPath(path string) (service, method string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return "", "", false
	}
	i := strings.LastIndexByte(rest, '/')
	if i <= 0 || i == len(rest)-1 {
		return "", "", false
	}
	return rest[:i], rest[i+1:], true
}

func joinPath(service, method string) string { return "/" + service + "/" + method }

// pathName is the name by which people know a path: Calculator.Add, or f.
func pathName(path string) string {
	service, method, ok := splitPath(path)
	if !ok {
		return path
	}
	if method == functionMethod && !strings.Contains(service, ".") {
		return service
	}
	return service + "." + method
}

// checkName refuses what is not identifiers joined by dots.
func checkName(name string) error {
	for part := range strings.SplitSeq(name, ".") {
		if !bind.IsIdentifier(part) {
			return fmt.Errorf("%q is no name: names are ASCII identifiers joined by dots", name)
		}
	}
	return nil
}
