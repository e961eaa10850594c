/// \file
/// The verbs of the command line, one file each. A verb declares its options on the parser and does its work when the
/// parser calls it back; it prints what the engine returns and throws what the engine throws (main.cpp makes exit codes of it).
#pragma once

#include <CLI/App.hpp>

namespace convscope {

void add_inspect(CLI::App& program);
void add_analyze(CLI::App& program);
void add_atlas(CLI::App& program);
void add_curve(CLI::App& program);
void add_train(CLI::App& program);
void add_doctor(CLI::App& program);
/// These two report their errors themselves and leave their exit code behind.
void add_snapshot(CLI::App& program, int& exit_code);
/// The window, which is what the program opens when no verb is named. Call it after all others.
void add_window(CLI::App& program, int& exit_code);

}  // namespace convscope
