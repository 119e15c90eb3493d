// Package overlay compiles packages for package explore without a change to their
// sources: it writes altered copies and has the go command take them in place of
// the originals (its flag -overlay).
package overlay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const explorePath = "github.com/carp-rpc/carp-go/internal/explore"

// StandIns are the packages whose import is replaced in explored code.
func StandIns() map[string]string {
	return map[string]string{
		"sync":        explorePath + "/sync",
		"sync/atomic": explorePath + "/atomic",
	}
}

// Overlay is a set of changes to source files. The zero value has none.
type Overlay struct {
	replace map[string][]byte // by absolute path
}

func (o *Overlay) set(path string, text []byte) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if o.replace == nil {
		o.replace = map[string][]byte{}
	}
	o.replace[abs] = text
	return nil
}

// Add makes a file be there.
func (o *Overlay) Add(path, text string) error { return o.set(path, []byte(text)) }

// An Edit is a change to the text of a file. Old must occur in it exactly once.
type Edit struct{ Old, New string }

// Explore puts a file under control: edits are made first, then imports are replaced,
// and channel operations are made steps.
func (o *Overlay) Explore(path string, imports map[string]string, edits ...Edit) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, e := range edits {
		if n := bytes.Count(text, []byte(e.Old)); n != 1 {
			return fmt.Errorf("%s: edit of %q: it occurs %d times, want once", path, e.Old, n)
		}
		text = bytes.Replace(text, []byte(e.Old), []byte(e.New), 1)
	}
	text, err = rewrite(path, text, imports)
	if err != nil {
		return err
	}
	return o.set(path, text)
}

// Write writes the changed files and the description of them into dir, and returns
// the file for the flag -overlay.
func (o *Overlay) Write(dir string) (string, error) {
	files := map[string]string{}
	for path, text := range o.replace {
		file := filepath.Join(dir, fmt.Sprintf("%d_%s", len(files), filepath.Base(path)))
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return "", err
		}
		files[path] = file
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": files})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}

func rewrite(path string, text []byte, imports map[string]string) ([]byte, error) {
	fset := token.NewFileSet()
	// Comments would lose their places beside what is put in. No directive among them
	// matters but build constraints, and the file was chosen to be built.
	file, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, spec := range file.Imports {
		if err := replaceImport(spec, imports); err != nil {
			return nil, err
		}
	}
	var c channels
	if err := c.rewrite(file); err != nil {
		return nil, fmt.Errorf("%s: %w", fset.Position(c.at), err)
	}
	if c.used {
		addImport(file)
	}
	// SourcePos keeps the line numbers, so that traces and panics can be read.
	var out bytes.Buffer
	cfg := printer.Config{Mode: printer.UseSpaces | printer.TabIndent | printer.SourcePos, Tabwidth: 8}
	if err := cfg.Fprint(&out, fset, file); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// replaceImport keeps the name by which the file knows the package.
func replaceImport(spec *ast.ImportSpec, imports map[string]string) error {
	path, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return err
	}
	other, ok := imports[path]
	if !ok {
		return nil
	}
	if spec.Name == nil {
		spec.Name = ast.NewIdent(path[strings.LastIndex(path, "/")+1:])
		spec.Name.NamePos = spec.Path.ValuePos
	}
	spec.Path.Value = strconv.Quote(other)
	return nil
}

// exploreName is the name under which rewritten files import package explore.
const exploreName = "explore_"

func addImport(file *ast.File) {
	spec := &ast.ImportSpec{
		Name: ast.NewIdent(exploreName),
		Path: &ast.BasicLit{Kind: token.STRING, Value: strconv.Quote(explorePath)},
	}
	decl := &ast.GenDecl{Tok: token.IMPORT, TokPos: file.Name.End(), Specs: []ast.Spec{spec}}
	file.Decls = append([]ast.Decl{decl}, file.Decls...)
}
