package cli

import (
	"context"
	"errors"
	"fmt"

	"gourd/cmd/gourd/internal/format"
	"gourd/internal/container"
	"gourd/internal/engine"
	"gourd/internal/face/docker"

	"github.com/spf13/cobra"
)

type inspectFlags struct {
	format, kind string
	size         bool
}

func (f *inspectFlags) addTo(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&f.format, "format", "f", "", `Print by a Go template, or "json"`)
	fs.BoolVarP(&f.size, "size", "s", false, "Show a container's sizes on disk")
}

// newInspect is `gourd inspect`, for containers and images.
func newInspect(a *app) *cobra.Command {
	f := &inspectFlags{}
	cmd := &cobra.Command{
		Use: "inspect [OPTIONS] NAME|ID [NAME|ID...]", Short: "Show all that is known of containers and images, as JSON",
		Args: minArgs(1), ValidArgsFunction: a.completeContainers(anyState),
		RunE: func(cmd *cobra.Command, args []string) error { return a.inspect(cmd.Context(), f, args) },
	}
	f.addTo(cmd)
	cmd.Flags().StringVar(&f.kind, "type", "", "Only objects of this type: container or image")
	return cmd
}

// newContainerInspect is `gourd container inspect`.
func newContainerInspect(a *app) *cobra.Command {
	f := &inspectFlags{kind: "container"}
	cmd := &cobra.Command{
		Use: "inspect [OPTIONS] CONTAINER [CONTAINER...]", Short: "Show all that is known of one or more containers, as JSON",
		Args: minArgs(1), ValidArgsFunction: a.completeContainers(anyState),
		RunE: func(cmd *cobra.Command, args []string) error { return a.inspect(cmd.Context(), f, args) },
	}
	f.addTo(cmd)
	return cmd
}

// inspect prints what was found, then the errors for what was not; the exit code is 1 then.
func (a *app) inspect(ctx context.Context, f *inspectFlags, refs []string) error {
	find, err := finder(f)
	if err != nil {
		return err
	}
	var form *format.Object
	if f.format != "" {
		if form, err = format.ParseObject(f.format); err != nil {
			return &exitError{code: 64, err: err}
		}
	}
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	found, failed := []any{}, failures{a: a}
	var errs []error
	for _, ref := range refs {
		object, err := find(ctx, e, ref)
		if err == nil && form != nil {
			err = form.Execute(a.out, object)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found = append(found, object)
	}
	if form == nil {
		if err := a.printJSON(found); err != nil {
			return err
		}
	}
	for _, err := range errs {
		failed.add(err)
	}
	return failed.result()
}

type findFunc func(ctx context.Context, e *engine.Engine, ref string) (any, error)

// finder gives what looks an object of this type up; without a type a container comes before an image.
func finder(f *inspectFlags) (findFunc, error) {
	asContainer := func(ctx context.Context, e *engine.Engine, ref string) (any, error) {
		d, err := e.Inspect(ctx, ref, f.size)
		if err != nil {
			return nil, err
		}
		return docker.NewContainer(d), nil
	}
	switch f.kind {
	case "container":
		return asContainer, nil
	case "image":
		return inspectImage, nil
	case "":
		return func(ctx context.Context, e *engine.Engine, ref string) (any, error) {
			object, err := asContainer(ctx, e, ref)
			if !errors.Is(err, container.ErrNotFound) {
				return object, err
			}
			if object, err = inspectImage(ctx, e, ref); errors.Is(err, container.ErrNotFound) {
				return nil, &container.Error{Verb: "inspect", Object: ref, Kind: container.ErrNotFound, Cause: errors.New("no such container or image")}
			}
			return object, err
		}, nil
	case "network", "volume", "plugin":
		return nil, fmt.Errorf("--type %s is %s", f.kind, notYet)
	case "config", "node", "secret", "service", "task":
		return nil, fmt.Errorf("--type %s is %s: it belongs to Swarm", f.kind, never)
	}
	return nil, fmt.Errorf("--type %s: it must be container or image", f.kind)
}
