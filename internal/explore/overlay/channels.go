package overlay

import (
	"errors"
	"go/ast"
	"go/token"
	"slices"
)

// channels makes steps of channel operations:
//
//	<-ch                              explore.Recv(ch)
//	select { case ch <- v: default: } explore.Offer(ch) before it
//
// Those that explored code has no use for so far are errors.
type channels struct {
	used bool
	at   token.Pos // of an error
	err  error
}

var (
	errSend   = errors.New("a send that may block can't be explored")
	errGo     = errors.New("a go statement can't be explored")
	errSelect = errors.New("a select without a default can't be explored")
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
	case *ast.SelectStmt:
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
	case *ast.GoStmt:
		c.fail(n.Pos(), errGo)
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
		if sel, ok := s.(*ast.SelectStmt); ok {
			for _, ch := range c.selected(sel) {
				out = append(out, &ast.ExprStmt{X: c.call("Offer", ch)})
			}
		}
		out = append(out, s)
	}
	return out
}

// selected are the channels of a select that has a default.
func (c *channels) selected(sel *ast.SelectStmt) []ast.Expr {
	var chans []ast.Expr
	hasDefault := false
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
	if !hasDefault {
		c.fail(sel.Pos(), errSelect)
	}
	return chans
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

func (c *channels) call(name string, ch ast.Expr) *ast.CallExpr {
	c.used = true
	return &ast.CallExpr{
		Fun:  &ast.SelectorExpr{X: ast.NewIdent(exploreName), Sel: ast.NewIdent(name)},
		Args: []ast.Expr{ch},
	}
}
