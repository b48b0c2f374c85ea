// Package opts turns the text of docker's flags into the engine's values. It only splits and spells
// out; whether a container can have a value is the engine's to check. Nothing here touches the system
// except ReadEnvFile and the resolution of relative paths against the caller's directory.
package opts
