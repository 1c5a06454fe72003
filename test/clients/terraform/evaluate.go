// evaluate.go MODULE: evaluates the locals, the validations and the outputs of a Terraform module, once for each line of
// standard input: variables as JSON. Prints the outputs as a line of JSON, or {"error": …}.
//
// Parser and evaluator are those of Terraform and OpenTofu (hcl and go-cty), and so are the functions: all but sha256,
// sum and cidrhost are in go-cty, where Terraform takes them from. Types of variables are not converted.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"

	"github.com/apparentlymart/go-cidr/cidr"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

func textFunction(result func(string) string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.StringVal(result(args[0].AsString())), nil
		},
	})
}

// Does the same as Terraform's lang/funcs/cidr.go.
var cidrHost = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "prefix", Type: cty.String}, {Name: "hostnum", Type: cty.Number}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		number, accuracy := args[1].AsBigFloat().Int(new(big.Int))
		if accuracy != big.Exact {
			return cty.NilVal, fmt.Errorf("not a whole number")
		}
		_, network, err := net.ParseCIDR(args[0].AsString())
		if err != nil {
			return cty.NilVal, err
		}
		address, err := cidr.HostBig(network, number)
		if err != nil {
			return cty.NilVal, err
		}
		return cty.StringVal(address.String()), nil
	},
})

var sum = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		total := cty.NumberIntVal(0)
		for it := args[0].ElementIterator(); it.Next(); {
			_, value := it.Element()
			total = total.Add(value)
		}
		return total, nil
	},
})

var functions = map[string]function.Function{
	"can":      tryfunc.CanFunc,
	"cidrhost": cidrHost,
	"concat":   stdlib.ConcatFunc,
	"distinct": stdlib.DistinctFunc,
	"format":   stdlib.FormatFunc,
	"join":     stdlib.JoinFunc,
	"length":   stdlib.LengthFunc,
	"parseint": stdlib.ParseIntFunc,
	"regex":    stdlib.RegexFunc,
	"replace":  stdlib.ReplaceFunc,
	"sha256":   textFunction(func(text string) string { hash := sha256.Sum256([]byte(text)); return hex.EncodeToString(hash[:]) }),
	"slice":    stdlib.SliceFunc,
	"sort":     stdlib.SortFunc,
	"split":    stdlib.SplitFunc,
	"substr":   stdlib.SubstrFunc,
	"sum":      sum,
	"tonumber": stdlib.MakeToFunc(cty.Number),
}

type module struct {
	defaults    map[string]hcl.Expression
	validations []hcl.Expression
	locals      map[string]hcl.Expression
	outputs     map[string]hcl.Expression
}

func must(diagnostics hcl.Diagnostics) {
	if diagnostics.HasErrors() {
		fmt.Fprintln(os.Stderr, diagnostics.Error())
		os.Exit(1)
	}
}

func load(directory string) module {
	result := module{map[string]hcl.Expression{}, nil, map[string]hcl.Expression{}, map[string]hcl.Expression{}}
	parser := hclparse.NewParser()
	files, _ := filepath.Glob(directory + "/*.tf")
	for _, path := range files {
		file, diagnostics := parser.ParseHCLFile(path)
		must(diagnostics)
		content, diagnostics := file.Body.Content(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
			{Type: "terraform"}, {Type: "locals"}, {Type: "variable", LabelNames: []string{"name"}}, {Type: "output", LabelNames: []string{"name"}},
		}})
		must(diagnostics)
		for _, block := range content.Blocks {
			switch block.Type {
			case "locals":
				attributes, diagnostics := block.Body.JustAttributes()
				must(diagnostics)
				for name, attribute := range attributes {
					result.locals[name] = attribute.Expr
				}
			case "variable", "output":
				body, _, diagnostics := block.Body.PartialContent(&hcl.BodySchema{
					Attributes: []hcl.AttributeSchema{{Name: "default"}, {Name: "value"}},
					Blocks:     []hcl.BlockHeaderSchema{{Type: "validation"}},
				})
				must(diagnostics)
				if attribute, ok := body.Attributes["default"]; ok {
					result.defaults[block.Labels[0]] = attribute.Expr
				}
				if attribute, ok := body.Attributes["value"]; ok {
					result.outputs[block.Labels[0]] = attribute.Expr
				}
				for _, validation := range body.Blocks {
					attributes, diagnostics := validation.Body.JustAttributes()
					must(diagnostics)
					result.validations = append(result.validations, attributes["condition"].Expr)
				}
			}
		}
	}
	return result
}

// An expression is evaluated when the locals that it names are.
func (m module) evaluate(line []byte) (map[string]json.RawMessage, error) {
	variables := map[string]cty.Value{}
	for name, expression := range m.defaults {
		value, diagnostics := expression.Value(nil)
		must(diagnostics)
		variables[name] = value
	}
	given, err := ctyjson.ImpliedType(line)
	if err != nil {
		return nil, err
	}
	object, err := ctyjson.Unmarshal(line, given)
	if err != nil {
		return nil, err
	}
	for name, value := range object.AsValueMap() {
		variables[name] = value
	}
	locals := map[string]cty.Value{}
	context := &hcl.EvalContext{Functions: functions, Variables: map[string]cty.Value{"var": cty.ObjectVal(variables)}}
	for _, condition := range m.validations {
		value, diagnostics := condition.Value(context)
		if diagnostics.HasErrors() {
			return nil, diagnostics
		}
		if value.False() {
			return nil, fmt.Errorf("a validation fails")
		}
	}
	var local func(name string) error
	local = func(name string) error {
		if _, done := locals[name]; done {
			return nil
		}
		for _, traversal := range m.locals[name].Variables() {
			if traversal.RootName() == "local" {
				if err := local(traversal[1].(hcl.TraverseAttr).Name); err != nil {
					return err
				}
			}
		}
		context.Variables["local"] = cty.ObjectVal(locals)
		value, diagnostics := m.locals[name].Value(context)
		if diagnostics.HasErrors() {
			return diagnostics
		}
		locals[name] = value
		return nil
	}
	for name := range m.locals {
		if err := local(name); err != nil {
			return nil, err
		}
	}
	context.Variables["local"] = cty.ObjectVal(locals)
	outputs := map[string]json.RawMessage{}
	for name, expression := range m.outputs {
		value, diagnostics := expression.Value(context)
		if diagnostics.HasErrors() {
			return nil, diagnostics
		}
		if outputs[name], err = ctyjson.Marshal(value, value.Type()); err != nil {
			return nil, err
		}
	}
	return outputs, nil
}

func main() {
	m := load(os.Args[1])
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		outputs, err := m.evaluate(lines.Bytes())
		if err != nil {
			text, _ := json.Marshal(err.Error())
			outputs = map[string]json.RawMessage{"error": text}
		}
		line, _ := json.Marshal(outputs)
		fmt.Println(string(line))
	}
}
