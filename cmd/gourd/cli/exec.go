package cli

import (
	"context"
	"errors"

	"gourd/cmd/gourd/internal/terminal"
	"gourd/internal/container"
	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

type execFlags struct {
	detach, interactive, tty, privileged bool
	detachKeys, user, workdir            string
	env, envFiles                        []string
}

func newExec(a *app) *cobra.Command {
	f := &execFlags{}
	cmd := &cobra.Command{
		Use: "exec [OPTIONS] CONTAINER COMMAND [ARG...]", Short: "Run another command in a running container",
		Args: minArgs(2), ValidArgsFunction: a.completeContainer(running),
		RunE: func(cmd *cobra.Command, args []string) error { return a.exec(cmd.Context(), f, args[0], args[1:]) },
	}
	fs := cmd.Flags()
	fs.SetInterspersed(false)
	fs.BoolVarP(&f.detach, "detach", "d", false, "Leave the command in the background")
	fs.StringVar(&f.detachKeys, "detach-keys", terminal.DefaultDetachKeys, "Keys that detach from the command")
	fs.VarP(texts(&f.env), "env", "e", "Set a variable of the environment (NAME=VALUE, or NAME for the caller's)")
	fs.Var(texts(&f.envFiles), "env-file", "Read variables from a file, one NAME=VALUE a line")
	fs.BoolVarP(&f.interactive, "interactive", "i", false, "Give the command this program's input")
	fs.BoolVar(&f.privileged, "privileged", false, "Give the command all capabilities")
	fs.BoolVarP(&f.tty, "tty", "t", false, "Give the command a terminal")
	fs.StringVarP(&f.user, "user", "u", "", "User and group: <name|uid>[:<group|gid>]")
	fs.StringVarP(&f.workdir, "workdir", "w", "", "Working directory inside")
	return cmd
}

func (a *app) exec(ctx context.Context, f *execFlags, ref string, command []string) error {
	keys, err := terminal.ParseKeys(f.detachKeys)
	if err != nil {
		return misuse("%w", err)
	}
	env, err := environment(f.envFiles, f.env)
	if err != nil {
		return misuse("%w", err)
	}
	r := engine.ExecRequest{
		Args: command, Env: env, User: f.user, Workdir: f.workdir, Tty: f.tty, Privileged: f.privileged, Detach: f.detach,
	}
	s := streaming{tty: f.tty, detachKeys: keys}
	if !f.detach {
		s.attach = engine.Attach{Stdin: f.interactive, Stdout: true, Stderr: true, Size: a.windowSize(f.tty)}
		if err := a.checkTerminal(f.tty, f.interactive); err != nil {
			return err
		}
	}
	r.Attach = s.attach
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	session, err := e.Exec(ctx, ref, r)
	if err != nil {
		return execFailed(err)
	}
	a.notices(session.Notices)
	if f.detach {
		return nil
	}
	end, detached, err := a.follow(session, s)
	if err != nil || detached {
		return err
	}
	return ended(end)
}

// execFailed gives docker's exit codes: 127 and 126 where the command was at fault, else 1.
func execFailed(err error) error {
	if errors.Is(err, container.ErrNoCommand) || errors.Is(err, container.ErrNotExecutable) {
		return starting(err)
	}
	return err
}
