package rpctest

import "slices"

// testCase is one rule of gRPC and the calls that show it.
type testCase struct {
	name string

	// rule is what must hold, in a sentence or two. It is printed when the
	// stack under test differs from the reference.
	rule string

	run func(e *env)
}

// cases returns every case, subject by subject.
func cases() []testCase {
	return slices.Concat(
		callCases(),
		statusCases(),
		cancelCases(),
		deadlineCases(),
		headerCases(),
		metadataCases(),
		streamCases(),
		limitCases(),
		codecCases(),
		interceptorCases(),
		optionCases(),
		credsCases(),
		statsCases(),
		contextCases(),
		unknownCases(),
		concurrentCases(),
		memoryCases(),
		largeCases(),
		lifecycleCases(),
		processCases(),
		generatedCases(),
	)
}
