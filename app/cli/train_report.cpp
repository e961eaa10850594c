#include "cli/train_report.h"

#include "cli/analysis_report.h"
#include "cli/console.h"
#include "state/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace convscope {
namespace {

using convbasis::Backward;
using convbasis::Real;
using convbasis::StepTime;
using convbasis::TrainingStep;
using nlohmann::ordered_json;

double median_seconds(const TrainingRun& run) {
  std::vector<double> seconds;
  for (const TrainingStep& step : run.steps) seconds.push_back(step.seconds);
  std::ranges::sort(seconds);
  return (seconds[(seconds.size() - 1) / 2] + seconds[seconds.size() / 2]) / 2.0;
}

ordered_json recover_json(const convbasis::RecoverOptions& options) {
  return {{"k", options.k}, {"T", options.T}, {"delta", options.delta}, {"eps", options.eps}};
}

/// One value of every step.
template <class Value>
ordered_json of_steps(const TrainingRun& run, Value TrainingStep::*member) {
  ordered_json list = ordered_json::array();
  for (const TrainingStep& step : run.steps) list.push_back(step.*member);
  return list;
}

ordered_json run_json(const TrainingRun& run) {
  const bool exact = run.options.backward == Backward::exact;
  ordered_json result;
  result["backward"] = convbasis::name_of(run.options.backward);
  result["optimizer"] = convbasis::name_of(run.options.optimiser);
  result["rate"] = run.options.rate;
  result["parameters"] = convbasis::name_of(run.options.parameters);
  result["recover_every"] = exact ? ordered_json(nullptr) : ordered_json(run.options.recover_every);
  result["between"] = exact ? ordered_json(nullptr) : ordered_json(convbasis::name_of(run.options.between));
  result["recover"] = exact ? ordered_json(nullptr) : recover_json(*run.options.recover);
  result["final_loss"] = run.steps.back().loss;
  result["largest_loss_difference"] = run.loss_difference;
  result["seconds_per_step"] = median_seconds(run);
  result["loss"] = of_steps(run, &TrainingStep::loss);
  result["exact_loss"] = of_steps(run, &TrainingStep::exact_loss);
  result["gradient_norm"] = of_steps(run, &TrainingStep::gradient_norm);
  result["gradient_error"] = of_steps(run, &TrainingStep::gradient_error);
  result["k_found"] = of_steps(run, &TrainingStep::k_found);
  result["recovered"] = of_steps(run, &TrainingStep::recovered);
  result["seconds"] = of_steps(run, &TrainingStep::seconds);
  return result;
}

ordered_json time_json(const StepTime& time) {
  return {{"backward", convbasis::name_of(time.backward)},
          {"n", time.n},
          {"seconds", time.seconds},
          {"seconds_min", time.seconds_min},
          {"seconds_max", time.seconds_max},
          {"repeats", time.repeats}};
}

/// "conv", or "conv s=5" where the basis is not recovered in every step.
std::string run_name(const TrainingRun& run) {
  const std::string name(convbasis::name_of(run.options.backward));
  return run.options.backward == Backward::exact || run.options.recover_every == 1
             ? name
             : fmt::format("{} s={}", name, run.options.recover_every);
}

/// Digits that show where two curves part; "-" for what was not compared.
std::string loss_text(double loss) { return std::isnan(loss) ? "-" : fmt::format("{:.6g}", loss); }
std::string number_text(double number) { return std::isnan(number) ? "-" : three_digits(number); }

/// The steps that the table shows: 0, 1, 2, 5, 10, 20, 50, ... and the last.
std::vector<std::size_t> shown_steps(std::size_t count) {
  std::vector<std::size_t> steps{0};
  for (std::size_t power = 1; power < count; power *= 10) {
    for (const std::size_t factor : {1, 2, 5}) {
      if (factor * power < count - 1) steps.push_back(factor * power);
    }
  }
  if (count > 1) steps.push_back(count - 1);
  return steps;
}

void print_curves(const TrainingReport& report) {
  std::vector<std::string> heading{"loss at step"};
  for (const TrainingRun& run : report.runs) heading.push_back(run_name(run));
  TextTable table(heading, 0);
  for (const std::size_t step : shown_steps(report.runs.front().steps.size())) {
    std::vector<std::string> row{fmt::format("{}", step)};
    for (const TrainingRun& run : report.runs) row.push_back(loss_text(run.steps[step].loss));
    table.add(row);
  }
  table.print();
}

void print_runs(const TrainingReport& report) {
  TextTable table({"backward", "final loss", "exact loss there", "largest loss difference", "largest gradient error", "least k",
                   "time per step"},
                  1);
  for (const TrainingRun& run : report.runs) {
    double error = 0.0;
    Index k = run.steps.front().k_found;
    for (const TrainingStep& step : run.steps) {
      if (!(step.gradient_error <= error)) error = step.gradient_error;
      k = std::min(k, step.k_found);
    }
    const bool exact = run.options.backward == Backward::exact;
    table.add({run_name(run), loss_text(run.steps.back().loss), loss_text(run.steps.back().exact_loss),
               exact ? "-" : number_text(run.loss_difference), exact ? "-" : number_text(error),
               exact ? "-" : fmt::format("{}", k), seconds_text(median_seconds(run))});
  }
  table.print();
}

/// How many times faster than the exact step of the same n in the same run; empty where there is none to compare with.
std::string speed_text(const StepTime& time, const std::vector<StepTime>& times) {
  for (const StepTime& exact : times) {
    if (exact.backward == Backward::exact && exact.n == time.n) return fmt::format("{:.3g}x", exact.seconds / time.seconds);
  }
  return "";
}

void print_times(const std::vector<StepTime>& times) {
  TextTable table({"backward", "n", "median", "least", "most", "steps", "speed-up"}, 1);
  for (const StepTime& time : times) {
    table.add({std::string(convbasis::name_of(time.backward)), fmt::format("{}", time.n), seconds_text(time.seconds),
               seconds_text(time.seconds_min), seconds_text(time.seconds_max), fmt::format("{}", time.repeats),
               speed_text(time, times)});
  }
  table.print();
}

void print_training(const TrainingRun& run) {
  const auto& options = run.options;
  print_field("training", fmt::format("{} steps, {}, rate {}, {} parameters; between recoveries the {} kept", run.steps.size(),
                                      convbasis::name_of(options.optimiser), three_digits(options.rate),
                                      convbasis::name_of(options.parameters),
                                      options.between == convbasis::Between::starts ? "starts are" : "whole basis is"));
}

Index value_width(const convbasis::OneLayerOptions& problem) { return problem.value_width > 0 ? problem.value_width : problem.d; }

}  // namespace

ordered_json to_json(const TrainingReport& report) {
  const auto& problem = report.problem;
  ordered_json result;
  result["version"] = CONVSCOPE_VERSION;
  result["machine"] = to_json(report.machine);
  result["precision"] = report.precision;
  result["problem"] = {{"n", problem.n}, {"d", problem.d},         {"d_v", value_width(problem)}, {"k", problem.k},
                       {"T", problem.T}, {"noise", problem.noise}, {"seed", problem.seed},        {"starts", report.starts}};
  result["runs"] = ordered_json::array();
  for (const TrainingRun& run : report.runs) result["runs"].push_back(run_json(run));
  result["step_times"] = ordered_json::array();
  for (const StepTime& time : report.times) result["step_times"].push_back(time_json(time));
  return result;
}

std::string csv_text(const TrainingReport& report) {
  const Machine& machine = report.machine;
  std::string text = fmt::format("# convscope {}, {}, {} threads, {}, {}\n", machine.program, machine.cpu, machine.threads,
                                 machine.instruction_set, report.precision);
  if (!report.times.empty()) {
    text += "backward,n,seconds,seconds_min,seconds_max,repeats\n";
    for (const StepTime& time : report.times) {
      text += fmt::format("{},{},{},{},{},{}\n", convbasis::name_of(time.backward), time.n, time.seconds, time.seconds_min,
                          time.seconds_max, time.repeats);
    }
    return text;
  }
  text += "backward,recover_every,step,loss,exact_loss,gradient_norm,gradient_error,k_found,recovered,seconds\n";
  for (const TrainingRun& run : report.runs) {
    for (const TrainingStep& step : run.steps) {
      text += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", convbasis::name_of(run.options.backward), run.options.recover_every,
                          step.step, step.loss, step.exact_loss, step.gradient_norm, step.gradient_error, step.k_found,
                          step.recovered, step.seconds);
    }
  }
  return text;
}

void print_report(const TrainingReport& report) {
  const auto& problem = report.problem;
  print_field("machine",
              fmt::format("{}, {} threads, {}", report.machine.cpu, report.machine.threads, report.machine.instruction_set));
  if (report.runs.empty()) {
    print_field("problem", fmt::format("one layer, planted, d {}, k {}, noise {}, {}", problem.d, problem.k,
                                       three_digits(problem.noise), report.precision));
    print_times(report.times);
    return;
  }
  print_field("problem",
              fmt::format("one layer, planted, n {}, d {}, d_v {}, k {}, noise {}, seed {}, {}", problem.n, problem.d,
                          value_width(problem), problem.k, three_digits(problem.noise), problem.seed, report.precision));
  print_training(report.runs.front());
  print_curves(report);
  print_runs(report);
}

template <Real T>
ordered_json gradients_json(const HeadInput<T>& input, const convbasis::RecoverOptions& options, std::uint64_t seed,
                            const convbasis::GradientComparison<T>& comparison) {
  const auto head = input.tensors.view();
  ordered_json result{{"version", CONVSCOPE_VERSION},
                      {"file", input.file},
                      {"model", input.model},
                      {"layer", input.layer},
                      {"head", input.head},
                      {"kv_head", input.kv_head},
                      {"n", head.size()},
                      {"d", head.width()},
                      {"d_v", head.value_width()},
                      {"scale", head.scale},
                      {"precision", precision_name<T>}};
  result["k_requested"] = options.k;
  result["k_found"] = comparison.k_found;
  result["T"] = options.T;
  result["delta"] = options.delta;
  result["eps"] = options.eps;
  result["starts"] = comparison.starts;
  result["gradient_seed"] = seed;
  result["planted"] = planted_json(input);
  result["gradients"] = ordered_json::array();
  for (const auto& way : comparison.ways) {
    result["gradients"].push_back({{"backward", convbasis::name_of(way.backward)},
                                   {"query_error", way.query_error},
                                   {"key_error", way.key_error},
                                   {"value_error", way.value_error},
                                   {"query_norm", way.query.template cast<double>().norm()},
                                   {"key_norm", way.key.template cast<double>().norm()},
                                   {"value_norm", way.value.template cast<double>().norm()},
                                   {"seconds", {{"forward", way.forward_seconds}, {"backward", way.backward_seconds}}}});
  }
  return result;
}

template <Real T>
void print_gradients(const HeadInput<T>& input, const convbasis::RecoverOptions& options,
                     const convbasis::GradientComparison<T>& comparison) {
  const auto head = input.tensors.view();
  print_field("file", printable(input.file));
  print_field("head", fmt::format("layer {}, head {}, key/value head {}", input.layer, input.head, input.kv_head));
  print_field("shape", fmt::format("n {}, d {}, d_v {}, scale {}, {}", head.size(), head.width(), head.value_width(),
                                   three_digits(head.scale), precision_name<T>));
  print_field("recover", fmt::format("k found {} of {}, T {}, delta {}, eps {}", comparison.k_found, options.k, options.T,
                                     three_digits(options.delta), three_digits(options.eps)));
  TextTable table({"backward", "dQ error", "dK error", "dV error", "forward", "backward time"}, 1);
  for (const auto& way : comparison.ways) {
    table.add({std::string(convbasis::name_of(way.backward)), number_text(way.query_error), number_text(way.key_error),
               number_text(way.value_error), seconds_text(way.forward_seconds), seconds_text(way.backward_seconds)});
  }
  table.print();
}

template ordered_json gradients_json(const HeadInput<float>&, const convbasis::RecoverOptions&, std::uint64_t,
                                     const convbasis::GradientComparison<float>&);
template ordered_json gradients_json(const HeadInput<double>&, const convbasis::RecoverOptions&, std::uint64_t,
                                     const convbasis::GradientComparison<double>&);
template void print_gradients(const HeadInput<float>&, const convbasis::RecoverOptions&,
                              const convbasis::GradientComparison<float>&);
template void print_gradients(const HeadInput<double>&, const convbasis::RecoverOptions&,
                              const convbasis::GradientComparison<double>&);

}  // namespace convscope
