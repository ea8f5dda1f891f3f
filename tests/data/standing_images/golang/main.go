package main

// #include <stdlib.h>
import "C"
import "fmt"

func main() { fmt.Println("ok", C.abs(-3)) }
