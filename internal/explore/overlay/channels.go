package overlay

import (
	"errors"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
)

// channels makes steps of channel operations:
//
//	<-ch                              explore.Recv(ch)
//	select { case ch <- v: default: } explore.Offer(ch) before it
//	select { case <-ch: default: }    explore.Look(ch) before it; there may be one case only
//	select { case <-a: case <-b: }    switch explore.Select(a, b) { case 0: … default: … }
//	ch <- v                           explore.Send(ch, v)
//	close(ch)                         explore.Close(ch)
//
// and threads of goroutines:
//
//	go f(x)                           explore.Go(func() { f(x) })
//
// in which x must not change later. Those that explored code has no use for so far are
// errors.
type channels struct {
	used  bool
	steps map[*ast.SelectStmt]bool // those before which a step was put
	at    token.Pos                // of an error
	err   error
}

var (
	errSend   = errors.New("a send in this place can't be explored")
	errSelect = errors.New("a select that waits to send can't be explored")
	// Of several cases that are ready the runtime takes one by chance, and they would have to
	// be looked at in one step.
	errChance = errors.New("a select with a default and several other cases can't be explored")
	errLabel  = errors.New("a go or select statement with a label can't be explored")
)

func (c *channels) rewrite(file *ast.File) error {
	c.walk(file)
	return c.err
}

func (c *channels) walk(n ast.Node) { ast.Inspect(n, c.visit) }

func (c *channels) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BlockStmt:
		n.List = c.block(n.List)
	case *ast.CaseClause:
		n.Body = c.block(n.Body)
	case *ast.GoStmt:
		c.fail(n.Pos(), errLabel)
	case *ast.SelectStmt:
		if !c.steps[n] {
			c.fail(n.Pos(), errLabel)
		}
		// Its own operations can't block; block put a step before them.
		for _, clause := range n.Body.List {
			clause := clause.(*ast.CommClause)
			clause.Body = c.block(clause.Body)
			for _, s := range clause.Body {
				c.walk(s)
			}
		}
		return false
	case *ast.SendStmt:
		c.fail(n.Pos(), errSend)
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "close" {
			n.Fun = c.name("Close")
		}
	}
	c.exprs(n)
	return c.err == nil
}

func (c *channels) fail(at token.Pos, err error) {
	if c.err == nil {
		c.at, c.err = at, err
	}
}

// block puts a step before each select.
func (c *channels) block(list []ast.Stmt) []ast.Stmt {
	var out []ast.Stmt
	for _, s := range list {
		switch s := s.(type) {
		case *ast.SendStmt:
			out = append(out, &ast.ExprStmt{X: c.call("Send", s.Chan, s.Value)})
			continue
		case *ast.GoStmt:
			out = append(out, c.spawn(s))
			continue
		case *ast.SelectStmt:
			chans, hasDefault := c.selected(s)
			if !hasDefault {
				out = append(out, c.choice(s, chans))
				continue
			}
			if len(chans) > 1 {
				c.fail(s.Pos(), errChance)
			}
			if c.steps == nil {
				c.steps = map[*ast.SelectStmt]bool{}
			}
			c.steps[s] = true
			for i, ch := range chans {
				name := "Look"
				if _, send := s.Body.List[i].(*ast.CommClause).Comm.(*ast.SendStmt); send {
					name = "Offer"
				}
				out = append(out, &ast.ExprStmt{X: c.call(name, ch)})
			}
		}
		out = append(out, s)
	}
	return out
}

// spawn is what becomes of a go statement.
func (c *channels) spawn(s *ast.GoStmt) ast.Stmt {
	body := &ast.BlockStmt{List: []ast.Stmt{&ast.ExprStmt{X: s.Call}}}
	f := &ast.FuncLit{Type: &ast.FuncType{Params: &ast.FieldList{}}, Body: body}
	return &ast.ExprStmt{X: c.call("Go", f)}
}

// choice is what becomes of a select without a default.
func (c *channels) choice(s *ast.SelectStmt, chans []ast.Expr) ast.Stmt {
	body := &ast.BlockStmt{}
	for i, clause := range s.Body.List {
		clause := clause.(*ast.CommClause)
		take := c.call("Take", chans[i])
		var got ast.Stmt = &ast.ExprStmt{X: take}
		switch comm := clause.Comm.(type) {
		case *ast.AssignStmt:
			comm.Rhs[0] = take
			got = comm
		case *ast.SendStmt:
			c.fail(comm.Pos(), errSelect)
		}
		index := []ast.Expr{&ast.BasicLit{Kind: token.INT, Value: strconv.Itoa(i)}}
		if i == len(chans)-1 {
			index = nil // default, as the compiler wants it after a case that returns
		}
		body.List = append(body.List, &ast.CaseClause{List: index, Body: append([]ast.Stmt{got}, clause.Body...)})
	}
	return &ast.SwitchStmt{Switch: s.Select, Tag: c.call("Select", chans...), Body: body}
}

// selected are the channels of a select.
func (c *channels) selected(sel *ast.SelectStmt) (chans []ast.Expr, hasDefault bool) {
	for _, clause := range sel.Body.List {
		switch comm := clause.(*ast.CommClause).Comm.(type) {
		case nil:
			hasDefault = true
		case *ast.SendStmt:
			chans = append(chans, comm.Chan)
		case *ast.ExprStmt:
			chans = append(chans, comm.X.(*ast.UnaryExpr).X)
		case *ast.AssignStmt:
			chans = append(chans, comm.Rhs[0].(*ast.UnaryExpr).X)
		}
	}
	return chans, hasDefault
}

// exprs replaces the receive operations among the expressions of n.
func (c *channels) exprs(n ast.Node) {
	switch n := n.(type) {
	case *ast.ExprStmt:
		n.X = c.expr(n.X)
	case *ast.AssignStmt:
		c.list(n.Rhs)
	case *ast.CallExpr:
		c.list(n.Args)
	case *ast.ReturnStmt:
		c.list(n.Results)
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			c.fail(n.Pos(), errors.New("a receive in this place can't be explored"))
		}
	}
}

func (c *channels) list(exprs []ast.Expr) {
	for i := range slices.Clone(exprs) {
		exprs[i] = c.expr(exprs[i])
	}
}

func (c *channels) expr(x ast.Expr) ast.Expr {
	if recv, ok := x.(*ast.UnaryExpr); ok && recv.Op == token.ARROW {
		return c.call("Recv", recv.X)
	}
	return x
}

func (c *channels) call(name string, args ...ast.Expr) *ast.CallExpr {
	return &ast.CallExpr{Fun: c.name(name), Args: args}
}

// name is a name of package explore.
func (c *channels) name(name string) ast.Expr {
	c.used = true
	return &ast.SelectorExpr{X: ast.NewIdent(exploreName), Sel: ast.NewIdent(name)}
}
